"""Copies that are made some at a time: what is kept of them, and for which state."""

import types

import numpy as np
import pytest

from fedsafe_tff.errors import Notice
from fedsafe_tff.runs import copies, loop

CLIENTS = 19


class Trainer:
  """Makes copies that tell of their client and of the model."""

  def __init__(self):
    self.asked = []

  def weights(self, state):
    return (np.full([2], state.model, np.float32),)

  def copies(self, state, clients):
    self.asked.append(clients)
    return [(np.full([2], state.model + client, np.float32),) for client in clients]


def state_of(model=0.5, key=7, round_number=3):
  distributor = {"round": np.int32(round_number), "noise_key": np.array([key, 1], np.int64)}
  return types.SimpleNamespace(model=model, distributor=distributor)


def make(folder, state=None, stop_after=None):
  trainer, told = Trainer(), []
  state = state_of() if state is None else state

  def after_some(text, over):
    told.append(text.partition("  left")[0])
    assert over == (text.startswith(f"copy {CLIENTS}/"))
    if len(told) == stop_after:
      raise KeyboardInterrupt

  kept = copies.Kept(folder / "copies.partial", copies.made_of(trainer, state))
  made = None
  try:
    made, _ = copies.make(trainer, state, CLIENTS, kept, after_some)
  except KeyboardInterrupt:
    pass
  return made, trainer.asked, told, kept


def assert_all(made, model=0.5):
  assert [copy[0].tolist() for copy in made] == [[model + client] * 2 for client in range(CLIENTS)]


def test_some_at_a_time_in_the_order_of_clients(tmp_path):
  made, asked, told, kept = make(tmp_path)
  assert_all(made)
  assert asked == [list(range(8)), list(range(8, 16)), [16, 17, 18]]
  assert told == [f"copy {done}/19 healed" for done in (8, 16, 19)]
  kept.forget()
  assert not any(tmp_path.iterdir())


def test_what_was_stopped_goes_on_with_the_rest(tmp_path):
  made, asked, _, _ = make(tmp_path, stop_after=1)
  assert made is None and asked == [list(range(8))]
  made, asked, told, _ = make(tmp_path)
  assert_all(made)
  assert asked == [list(range(8, 16)), [16, 17, 18]]
  assert told == ["copy 16/19 healed", "copy 19/19 healed"]


def test_seconds_are_those_before_a_stop_too(tmp_path):
  trainer = Trainer()
  kept = copies.Kept(tmp_path / "copies.partial", copies.made_of(trainer, state_of()))
  for client in (0, 5):
    kept.add(client, (np.zeros([2], np.float32),), 40.0)
  made, seconds = copies.make(trainer, state_of(), CLIENTS, kept, lambda text, over: None)
  assert 80.0 < seconds < 90.0 and len(made) == CLIENTS
  assert trainer.asked[0] == [1, 2, 3, 4, 6, 7, 8, 9]


def test_a_copy_that_is_not_finite_is_refused_and_not_kept(tmp_path):
  trainer = Trainer()
  kept = copies.Kept(tmp_path / "copies.partial", copies.made_of(trainer, state_of()))
  of_first = trainer.copies
  trainer.copies = lambda state, clients: [
    (copy[0] * (np.nan if client == 9 else 1),)
    for client, copy in zip(clients, of_first(state, clients))
  ]
  with pytest.raises(loop.Diverged, match="copy of client 9 has weights .* lower --adaptation_le"):
    copies.make(trainer, state_of(), CLIENTS, kept, lambda text, over: None)
  assert kept.find(7) is not None and kept.find(8) is None


@pytest.mark.parametrize("changed", [{"model": 2.0}, {"key": 8}, {"round_number": 4}])
def test_copies_of_another_state_are_made_again(tmp_path, changed):
  make(tmp_path, stop_after=2)
  made, asked, _, _ = make(tmp_path, state_of(**changed))
  assert_all(made, changed.get("model", 0.5))
  assert sum(map(len, asked)) == CLIENTS


def test_a_damaged_copy_is_made_again_and_said_so(tmp_path):
  make(tmp_path, stop_after=1)
  file = tmp_path / "copies.partial" / "client_00003.npz"
  file.write_bytes(file.read_bytes()[:-20])
  with pytest.warns(Notice, match=r"client_00003.npz is damaged: it is made again"):
    made, asked, _, _ = make(tmp_path)
  assert_all(made)
  assert asked[0] == [3, *range(8, 15)]
