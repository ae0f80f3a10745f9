"""States on disk: found below any name, and whole or put aside."""

import pathlib
import shutil
import threading

import numpy as np
import pytest

from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs import events
from fedsafe_tff.runs.checkpoints import Checkpoints

START = {"weights": np.zeros(3, np.float32), "round": np.int32(0)}


def state(number: int):
  return {"weights": np.full(3, number, np.float32), "round": np.int32(number)}


def store(folder: pathlib.Path, *numbers: int, keep: int = 3) -> Checkpoints:
  checkpoints = Checkpoints(folder, keep)
  for number in numbers:
    checkpoints.save(state(number), number)
  return checkpoints


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stored") / "checkpoints"
  store(folder, 1, 2)
  return folder


@pytest.fixture
def folder(stored, tmp_path):
  return shutil.copytree(stored, tmp_path / "checkpoints")


def test_saving_and_reading_start_no_thread(tmp_path, monkeypatch):
  # One per checkpoint let the memory grow: its arena of malloc's and what TensorFlow keeps for it.
  started, start = [], threading.Thread.start
  monkeypatch.setattr(threading.Thread, "start", lambda one: (started.append(one), start(one)))
  checkpoints = store(tmp_path / "checkpoints", 1, 2, 3, 4, keep=2)
  found, number = checkpoints.newest(START)
  assert number == 4 and found["round"] == 4
  assert list(checkpoints.earlier(START, 4)) == [3]
  assert started == []


@pytest.mark.parametrize("stops", [[1], [6], [9], [5, 6, 7], [1, 5, 9], [9, 10, 11, 13]])
@pytest.mark.parametrize("keep", [1, 2, 3])
def test_what_a_stop_left_does_not_count(tmp_path, stops, keep):
  every, last = 4, 14
  due = [number for number in range(1, last + 1) if number % every == 0 or number == last]
  plain, stopped = (
    Checkpoints(tmp_path / name, keep, every, last) for name in ("plain", "stopped")
  )
  for number in range(1, last + 1):
    if number in due:
      plain.save(state(number), number)
    if number in due or number in stops:
      stopped.save(state(number), number)
      assert stopped.newest(START)[1] == number
  for one in (plain, stopped):
    assert list(one.earlier(START, last)) == [n for n in due if n < last][-(keep - 1) :][: keep - 1]
  kept = [sorted(p.name for p in (tmp_path / n).iterdir()) for n in ("plain", "stopped")]
  assert kept[0] == kept[1] and len([n for n in kept[0] if n.startswith("program")]) == keep


def test_a_round_off_the_grid_is_no_part_of_the_history(tmp_path):
  checkpoints = Checkpoints(tmp_path / "one", 3, 4, 14)
  for number in (4, 6):  # stopped there, and nothing saved since
    checkpoints.save(state(number), number)
  assert list(checkpoints.earlier(START, 8)) == [4]


@pytest.mark.parametrize("name", ["a[b]", "*", "what?", "[1-3]", "back\\slash", "ü 'x'"])
def test_folders_of_any_name(stored, tmp_path, name):
  folder = tmp_path / name / "checkpoints"
  checkpoints = store(folder, 1)
  found, number = checkpoints.newest(START)
  assert number == 1 and found["round"] == 1
  # One that would fit the pattern is another.
  shutil.copytree(stored, tmp_path / "ab" / "checkpoints")
  assert Checkpoints(folder, 3).newest(START)[1] == 1
  assert sorted(p.name for p in folder.iterdir()) == ["program_state_1"]


def test_a_flipped_bit_in_any_file_is_noticed_and_the_state_put_aside(stored, tmp_path):
  files = sorted(
    p.relative_to(stored) for p in (stored / "program_state_2").rglob("*")
    if p.is_file() and p.name != sums.NAME
  )  # fmt: skip
  assert len(files) == 4
  for number, name in enumerate(files):
    folder = shutil.copytree(stored, tmp_path / str(number))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 4
    (folder / name).write_bytes(data)
    with pytest.warns(Notice, match=f"round 2 can't be read .*{name.name}.* put aside") as told:
      found, done = Checkpoints(folder, 3).newest(START)
    assert done == 1 and found["round"] == 1
    assert "rounds from 2 on are run again" in str(told[0].message)
    assert sorted(p.name for p in folder.iterdir()) == ["damaged_2", "program_state_1"]
    checkpoints = store(folder, 2)  # the round is run again
    assert checkpoints.newest(START)[1] == 2


def test_where_none_can_be_read_nothing_is_moved(folder):
  for number in (1, 2):
    (folder / f"program_state_{number}" / "saved_model.pb").write_bytes(b"")
  with pytest.raises(UserError, match=r"no checkpoint of \[1, 2\].*saved_model.pb is damaged"):
    Checkpoints(folder, 3).newest(START)
  assert sorted(p.name for p in folder.iterdir()) == ["program_state_1", "program_state_2"]


def test_who_is_killed_before_the_checksums_has_a_state_all_the_same(folder):
  lines = folder / "program_state_2" / sums.NAME
  lines.unlink()
  assert Checkpoints(folder, 3).newest(START)[1] == 2
  assert lines.is_file()


def test_who_is_killed_before_an_old_state_goes_has_no_longer_history(folder):
  store(folder, 3, 4, keep=9)
  assert list(Checkpoints(folder, 3).earlier(START, 4)) == [2, 3]
  assert list(Checkpoints(folder, 1).earlier(START, 4)) == []
  assert list(Checkpoints(folder, 0).earlier(START, 4)) == [1, 2, 3]


def test_what_a_save_left_that_was_cut_off_goes(folder):
  (folder / "program_state_3_temp1234").mkdir()
  Checkpoints(folder, 3)
  assert sorted(p.name for p in folder.iterdir()) == ["program_state_1", "program_state_2"]


def test_events_hold_the_rows_of_all_sessions(tmp_path):
  first = events.Events(tmp_path)
  first.write({"round": 1, "train_loss": 0.5, "epsilon": None}, 1)
  first.write({"round": 2, "train_loss": 0.25, "adapted": 1}, 2)
  [file] = tmp_path.iterdir()
  assert events.read(tmp_path) == {1: {"train_loss": 0.5}, 2: {"train_loss": 0.25, "adapted": 1.0}}
  file.write_bytes(file.read_bytes()[:-5])  # as after a kill
  assert events.read(tmp_path) == {1: {"train_loss": 0.5}, 2: {"train_loss": 0.25}}
