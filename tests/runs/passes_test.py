"""An adaptation in passes: what is kept of them, and for whom."""

import numpy as np
import pytest

from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice
from fedsafe_tff.runs import passes
from fedsafe_tff.training import iterated

SHAPE, START = (2, 2, 1), (np.ones([3], np.float32), np.zeros([2, 1], np.float32))


class Passes:
  """A pass that adds 1 to all weights and finds 3, 2, 1 examples, then none."""

  def __init__(self):
    self.begun = []

  def __call__(self, carried):
    before = iterated.Carried(**carried)
    number = int(before.number)
    self.begun.append(number)
    assert len(before.labels) == sum(range(4 - number, 4))
    added = max(3 - number, 0)
    table = np.array(before.table)
    table[number] = [added, len(before.labels) + added, 0.5, 0.5]
    return dict(
      number=np.int32(number + 1),
      step=np.int32(before.step + 4),
      weights=tuple(np.asarray(w) + 1 for w in before.weights),
      images=np.concatenate([before.images, np.full([added, *SHAPE], number, np.uint8)]),
      labels=np.concatenate([before.labels, np.full([added], number, np.int32)]),
      hashes=np.concatenate([before.hashes, np.arange(added, dtype=np.int64)]),
      table=table,
      metrics=np.array([number, 0, 9], np.float32),
      added=np.int32(added),
    )


def make(kept, start=START, most=6, stop_after=None):
  one_pass, told = Passes(), []

  def after_pass(text, over):
    told.append(text)
    assert over == (len(one_pass.begun) == min(most, 4) or one_pass.begun[-1] == 3)
    if len(told) == stop_after:
      raise KeyboardInterrupt

  try:
    return passes.make(start, SHAPE, most, one_pass, kept, after_pass), one_pass.begun, told
  except KeyboardInterrupt:
    return None, one_pass.begun, told


def test_it_ends_where_nothing_is_new_or_at_the_limit():
  made, begun, told = make(None)
  assert begun == [0, 1, 2, 3] and made.table[:, 0].tolist() == [3, 2, 1, 0, -1, -1]
  assert told[1] == "adaptation, pass 2 of at most 6: 2 new examples, 5 in all"
  assert make(None, most=2)[1] == [0, 1]


def test_what_was_stopped_goes_on_with_the_next_pass(tmp_path):
  kept = passes.Kept(tmp_path / "kept")
  assert make(kept, stop_after=2)[1] == [0, 1]
  made, begun, _ = make(kept)
  assert begun == [2, 3]
  whole = make(None)[0]
  for name in iterated.Carried._fields:
    if name != "weights":
      np.testing.assert_array_equal(getattr(made, name), getattr(whole, name))
  for left, right in zip(made.weights, whole.weights, strict=True):
    np.testing.assert_array_equal(left, right)
  assert make(kept)[1] == []  # killed before anything came of it: there is nothing left to do
  kept.forget()
  assert not (tmp_path / "kept").exists() and make(kept)[1] == [0, 1, 2, 3]


def test_the_time_of_earlier_sessions_is_told(tmp_path, monkeypatch):
  clock = iter(range(0, 1000, 10))
  monkeypatch.setattr(passes.time, "monotonic", lambda: float(next(clock)))
  kept = passes.Kept(tmp_path / "kept")  # 0
  make(kept, stop_after=2)  # begun at 10, kept at 20 and 30
  assert kept.before == 0
  make(kept, stop_after=1)  # begun at 40, kept at 50
  assert kept.before == 20
  make(kept)
  assert kept.before == 30
  kept.forget()
  make(kept)
  assert kept.before == 0


def test_other_weights_other_limits_and_other_sources_begin_anew(tmp_path):
  kept = passes.Kept(tmp_path / "kept")
  make(kept, stop_after=2)
  assert make(passes.Kept(tmp_path / "kept", "another"), stop_after=1)[1] == [0]
  make(kept, stop_after=2)
  assert make(kept, most=3, stop_after=1)[1] == [0]
  other = (START[0] + 1e-6, START[1])
  assert make(kept, other)[1] == [0, 1, 2, 3]


@pytest.mark.parametrize("summed", [True, False])
def test_a_damaged_file_is_said_and_begun_anew(tmp_path, summed):
  kept = passes.Kept(tmp_path / "kept")
  make(kept, stop_after=2)
  file = tmp_path / "kept" / "passes.npz"
  if summed:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
  else:  # as after a copy that has left out names with a dot
    (tmp_path / "kept" / sums.NAME).unlink()
    file.write_bytes(file.read_bytes()[:-40])
  with pytest.warns(Notice, match="passes.npz is damaged: its passes are made again"):
    assert make(kept)[1] == [0, 1, 2, 3]
