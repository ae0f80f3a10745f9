"""SIGKILL at drawn moments: what goes on ends with the bits of what was never killed.

Half of the moments are of time, half of files: before one is opened, renamed, removed. Before every
second one of time SIGTERM comes, with half a second to end.

make test-faults ARGS="-k run"    FEDSAFE_KILLS=30 for fewer, FEDSAFE_FAULT_SEED=1 for others
"""

import os
import pathlib

import numpy as np
import pytest

from tests.commands import tables
from tests.faults.killed import Server
from tests.runs import tiny

pytestmark = pytest.mark.faults

_KILLS = int(os.environ.get("FEDSAFE_KILLS", "100"))
_SEED = int(os.environ.get("FEDSAFE_FAULT_SEED", "0"))
_RUN = {
  "defense": "distributed_noise",
  "rounds": 4,
  "keep_checkpoints": 2,
  "downlink_schedule": "every",
  "adaptation_every": 2,
  "uplink_sigma": 0.001,
  "clip_norm": 50.0,
  "noise_seed": 5,
  "attack_eps": 0.1,
}
_TIMES = ("seconds",)
_ORIGIN = ("git_commit", *_TIMES)  # the checkout may change meanwhile


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  return Server(tmp_path_factory.mktemp("logs"))


def _kill(server, command, words_of, share, tmp_path, check):
  """Kills sessions of new folders until so many were killed, and looks at every folder's end.

  Args:
    server: Starts them.
    command: What runs.
    words_of: From a folder to the command line.
    share: How many of all kills.
    tmp_path: Where folders go.
    check: Is given the folder that was never killed and one that was.
  """
  rng = np.random.default_rng(_SEED)
  whole = tmp_path / "whole"
  whole.mkdir()
  first = server.run(command, words_of(whole))
  assert first.code == 0, first.said
  wanted = max(1, round(_KILLS * share))
  killed = chains = 0
  longest = first.seconds
  while killed < wanted:
    folder = tmp_path / f"chain{chains}"
    folder.mkdir()
    chains += 1
    here = []
    while True:
      left = killed < wanted
      seconds = event = None
      terminate = killed % 4 == 3
      if left and killed % 2:
        seconds = rng.uniform(0, longest)
      elif left:
        event = int(rng.integers(1, first.events + 1))
      session = server.run(
        command, words_of(folder), seconds=seconds, event=event, terminate=terminate
      )
      stopped = seconds is not None and session.code == 1 and "stopped by SIGTERM" in session.said
      if not (session.killed or stopped):
        break
      here.append((seconds, event))
      killed += 1
    assert session.code == 0, f"after {here}: {session.said}"
    # As busy as the machine is now; what goes on has less to do than what begins.
    longest = session.seconds * (1.5 if here else 1)
    try:
      check(whole, folder)
      _assert_nothing_unfinished(folder)
    except AssertionError as error:
      raise AssertionError(f"seed {_SEED}, {folder}, killed at {here}: {error}") from error
  print(f"{command}: {killed} kills in {chains} folders, {first.events} moments of files")


def _assert_nothing_unfinished(folder: pathlib.Path) -> None:
  names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
  left = [n for n in names if n.endswith((".part", ".unfinished", ".partial")) or "_temp" in n]
  assert not left, left


def _same_run(whole: pathlib.Path, folder: pathlib.Path) -> None:
  mine, theirs = folder / "run", whole / "run"
  tiny.assert_same_models(mine, theirs)
  history = sorted(p.name for p in (theirs / "models" / "history").glob("*.npz"))
  assert history == sorted(p.name for p in (mine / "models" / "history").glob("*.npz"))
  for name in ("metrics.csv", "clients.csv", "transfer_matrix.csv"):
    assert tiny.rows(mine / name, *_TIMES) == tiny.rows(theirs / name, *_TIMES), name
  for name in ("evaluation.json", "privacy.json", "partition.json"):
    assert tiny.read_json(mine / name) == tiny.read_json(theirs / name), name
  states = sorted(p.name for p in (theirs / "checkpoints").iterdir())
  assert states == sorted(p.name for p in (mine / "checkpoints").iterdir())


def _train(folder: pathlib.Path) -> list[str]:
  return tiny.arguments(folder, cache_dir=folder / "cache", **_RUN)


def test_a_run_killed_at_any_moment(server, tmp_path):
  _kill(server, "train", _train, 0.7, tmp_path, _same_run)


def _table(folder: pathlib.Path) -> list[str]:
  words = tables.words(folder, "table1", methods="none,distributed_noise", attack_steps=1)
  return [*words, f"--cache_dir={folder / 'images'}"]


def _same_table(whole: pathlib.Path, folder: pathlib.Path) -> None:
  mine, theirs = (tiny.rows(f / "table1" / "numbers.csv", *_ORIGIN) for f in (folder, whole))
  assert mine == theirs and mine
  models = [sorted((f / "sweep").rglob("adapted/*.npz")) for f in (folder, whole)]
  assert [m.name for m in models[0]] == [m.name for m in models[1]] and models[0]
  for left, right in zip(*models):
    assert left.read_bytes() == right.read_bytes()


def test_a_sweep_killed_at_any_moment(server, tmp_path):
  _kill(server, "table1", _table, 0.3, tmp_path, _same_table)
