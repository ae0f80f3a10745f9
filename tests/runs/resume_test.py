"""A run that was killed or stopped ends with the bits of one that was not."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import psutil
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import loop, run, run_dir
from fedsafe_tff.runs.report import build
from tests.runs import tiny

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_CHANGES = {
  "defense": "distributed_noise",
  "runtime": "native",  # whose worker must end with a run that was killed
  "downlink_schedule": "every",
  "adaptation_every": 2,
  "rounds": 6,
  "local_epochs": 30,  # a round takes long enough to be hit in its middle
  "uplink_sigma": 0.001,
  "clip_norm": 50.0,
  "noise_seed": 5,
  "attack_eps": 0.1,
}
_PLOTS = build._PLOTS  # all of a report's

pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  assert train.train(tiny.arguments(folder, **_CHANGES)) == 0
  return folder / "run"


def _start(folder: pathlib.Path) -> subprocess.Popen:
  log = (folder / "out.log").open("wb")
  return subprocess.Popen(
    [sys.executable, "-m", "experiments.train", *tiny.arguments(folder, **_CHANGES)],
    cwd=_ROOT, stdout=log, stderr=log, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
  )


def _wait_for_round(program: subprocess.Popen, folder: pathlib.Path, number: int) -> None:
  log = folder / "out.log"
  deadline = time.monotonic() + 120
  while f"round {number}/" not in log.read_text():
    assert program.poll() is None and time.monotonic() < deadline, log.read_text()
    time.sleep(0.02)


def _assert_continued(folder: pathlib.Path, whole: pathlib.Path) -> None:
  assert train.train(tiny.arguments(folder, **_CHANGES)) == 0
  run = folder / "run"
  tiny.assert_same_models(run, whole)
  for name in ("metrics.csv", "clients.csv", "transfer_matrix.csv"):
    assert tiny.rows(run / name, "seconds") == tiny.rows(whole / name, "seconds"), name
  assert tiny.read_json(run / "evaluation.json") == tiny.read_json(whole / "evaluation.json")


@pytest.mark.slow
def test_after_sigkill_in_the_middle_of_a_round(uninterrupted, tmp_path, capsys):
  program = _start(tmp_path)
  _wait_for_round(program, tmp_path, 2)
  children = psutil.Process(program.pid).children(recursive=True)
  time.sleep(0.1)  # into round 3
  program.kill()
  program.wait()
  _, alive = psutil.wait_procs(children, timeout=10)
  assert children and not alive
  assert not (tmp_path / "run" / "evaluation.json").exists()
  _assert_continued(tmp_path, uninterrupted)
  assert "continuing after round " in capsys.readouterr().out


def test_after_sigterm_the_round_is_finished_and_saved(uninterrupted, tmp_path):
  program = _start(tmp_path)
  _wait_for_round(program, tmp_path, 2)
  program.send_signal(signal.SIGTERM)
  assert program.wait(timeout=60) == 1
  said = (tmp_path / "out.log").read_text()
  assert "stopped by SIGTERM: the same command with --run_dir=" in said
  assert "Traceback" not in said
  done = len(tiny.rows(tmp_path / "run" / "metrics.csv"))
  assert 2 <= done < 6
  _assert_continued(tmp_path, uninterrupted)


def test_a_finished_run_is_not_run_again(uninterrupted, capsys):
  before = (uninterrupted / "evaluation.json").stat().st_mtime_ns
  folder = uninterrupted.parent
  assert train.train(tiny.arguments(folder, **_CHANGES)) == 0
  assert "this run is complete" in capsys.readouterr().out
  assert (uninterrupted / "evaluation.json").stat().st_mtime_ns == before


def _stop_after(monkeypatch, number: int) -> None:
  save = loop.Checkpoints.save

  def save_and_stop(self, state, version):
    save(self, state, version)
    if version == number:
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(loop.Checkpoints, "save", save_and_stop)


@pytest.mark.slow
def test_a_noise_seed_from_the_systems_entropy_is_kept_and_told(tmp_path, monkeypatch, capsys):
  changes = _CHANGES | {"local_epochs": 1, "rounds": 3, "attacks": "fgsm", "noise_seed": -1}
  changes |= {"runtime": "device"}
  words = [w for w in tiny.arguments(tmp_path, **changes) if "attack_steps" not in w]
  with monkeypatch.context() as patch:
    _stop_after(patch, 1)
    assert train.train(words) == 1
  manifest = tiny.read_json(tmp_path / "run" / "manifest.json")
  seeds = manifest["seeds"]
  assert seeds["seed"] == 0 and 0 <= seeds["noise_seed"] < 2**63
  told = manifest["privacy"][-1]
  assert "drawn from the system's entropy" in told and "can subtract the noise" in told
  assert told in capsys.readouterr().out
  assert train.train(words) == 0
  assert tiny.read_json(tmp_path / "run" / "manifest.json")["seeds"] == seeds
  # Who knows the seed has all the noise: the whole run once more, never stopped.
  again = [*words, f"--run_dir={tmp_path / 'again'}", f"--noise_seed={seeds['noise_seed']}"]
  assert train.train(again) == 0
  tiny.assert_same_models(tmp_path / "run", tmp_path / "again")
  manifest = tiny.read_json(tmp_path / "again" / "manifest.json")
  assert manifest["seeds"] == seeds and "given by --noise_seed" in manifest["privacy"][-1]
  # Another run draws another one.
  assert train.train([*words, f"--run_dir={tmp_path / 'other'}"]) == 0
  mine, theirs = tiny.models(tmp_path / "run"), tiny.models(tmp_path / "other")
  weights = [name for name in mine if name.split("/", 1)[1].isdigit()]
  assert weights and all((mine[name] != theirs[name]).any() for name in weights)


def test_a_run_of_other_keys_is_not_continued(tmp_path, monkeypatch):
  words = tiny.arguments(tmp_path, defense="distributed_noise")
  with monkeypatch.context() as patch:
    _stop_after(patch, 1)
    assert train.train(words) == 1
  file = tmp_path / "run" / "manifest.json"
  manifest = tiny.read_json(file)
  del manifest["result_versions"]  # as before there were any
  run_dir.write_json(file, manifest)
  with pytest.raises(UserError, match="by a version with keys 1.*choose another --run_dir"):
    train.train(words)


@pytest.mark.parametrize(
  "changes",
  [
    {"algorithm": "tff_fed_avg", "momentum": 0.9},
    pytest.param({"algorithm": "tff_fed_prox", "prox_mu": 0.1}, marks=pytest.mark.slow),
    pytest.param({"algorithm": "tff_mime_lite"}, marks=pytest.mark.slow),
    {"algorithm": "tff_dp_fed_avg", "clip_norm": 1.0},
    pytest.param({"aggregator": "secure_sum", "upload": "update"}, marks=pytest.mark.slow),
    pytest.param({"aggregator": "robust", "upload": "update"}, marks=pytest.mark.slow),
    pytest.param(
      {"aggregator": "adaptive_dp", "upload": "update", "dp_noise_multiplier": 0.25},
      marks=pytest.mark.slow,
    ),
  ],
  ids=lambda changes: next(iter(changes.values())),
)
def test_other_algorithms_and_aggregators_continue(tmp_path, monkeypatch, changes):
  """TFF's algorithms to the report with its pictures."""
  changes = {"rounds": 3, "defense": "none", "attacks": "fgsm", "attack_eps": 0.1} | changes
  words = tiny.arguments(tmp_path, **changes)
  words = [word for word in words if "adaptation" not in word and "attack_steps" not in word]
  with monkeypatch.context() as patch:
    _stop_after(patch, 2)
    assert train.train(words) == 1
  before = tiny.rows(tmp_path / "run" / "metrics.csv")
  with monkeypatch.context() as patch:
    if "algorithm" in changes:
      patch.setattr(build, "_PLOTS", _PLOTS)
    assert train.train(words) == 0
  after = tiny.rows(tmp_path / "run" / "metrics.csv")
  assert [row["round"] for row in after] == ["1", "2", "3"] and after[:2] == before
  assert all(float(row["train_loss"]) > 0 for row in after)
  if "algorithm" in changes:
    assert bool(after[-1]["epsilon"]) == (changes["algorithm"] == "tff_dp_fed_avg")
  if "dp" in str(changes):
    return  # TFF draws its noise from an unseeded generator
  whole = tmp_path / "whole"
  assert train.train([*words, f"--run_dir={whole}"]) == 0
  tiny.assert_same_models(tmp_path / "run", whole)
  for name in ("metrics.csv", "clients.csv", "transfer_matrix.csv"):
    assert tiny.rows(tmp_path / "run" / name, "seconds") == tiny.rows(whole / name, "seconds")


def test_a_session_that_was_killed_is_told_of_by_the_next(tmp_path):
  said = types.SimpleNamespace(lines=[])
  said.note = said.lines.append
  run_dir.write_manifest(tmp_path, in_session=True)  # as a killed one leaves it
  with run._session(tmp_path, said):
    pass
  assert len(said.lines) == 1 and "killed or crashed" in said.lines[0]
  with pytest.raises(run.Stopped), run._session(tmp_path, said):
    run_dir.write_manifest(tmp_path, in_session=True)
    raise run.Stopped("by the user")
  with run._session(tmp_path, said):
    assert len(said.lines) == 1
  assert run_dir.read_manifest(tmp_path)["in_session"] is False
