"""A defence joined of parts, through the driver: its files, its copies, its end after a stop."""

import os
import signal

import numpy as np
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.runs import copies, evaluate, kept_models, passes
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.training.iterated import PASSES
from tests.runs import tiny

PICTURES = True
pytestmark = pytest.mark.usefixtures("built_once")

_MIXED = {
  "defense": "healed+local+adaptation", "adaptation_examples": "iterated", "adaptation_passes": 3,
  "adaptation_every": 2, "local_loss": "trades", "local_weight_sigma": 0.01, "rounds": 3,
  "noise_seed": 2, "attack_eps": 0.1, "runtime": "device",
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
  folder = tmp_path_factory.mktemp("mixed")
  assert train.train(tiny.arguments(folder, **_MIXED)) == 0
  return folder / "run"


def test_passes_are_told(mixed):
  rows = tiny.rows(mixed / "adaptation.csv")
  assert set(rows[0]) == {"round", "pass", *PASSES}
  assert {row["round"] for row in rows} == {"2", "3"}  # every second, and the last
  for number in ("2", "3"):
    here = [row for row in rows if row["round"] == number]
    assert [row["pass"] for row in here] == [str(i + 1) for i in range(len(here))]
    new = [float(row["new_examples"]) for row in here]
    assert np.cumsum(new).tolist() == [float(row["collected_examples"]) for row in here]
    assert len(here) == 3 or new[-1] == 0
  assert "Iterated adaptation" in (mixed / "report.html").read_text()
  assert (mixed / "plots" / "adaptation_passes.png").is_file()


def test_every_client_gets_a_copy_healed_on_its_own(mixed):
  run = load_run(mixed)
  copies = run.copies
  for first, second in ((0, 1), (1, 2)):
    assert any((a != b).any() for a, b in zip(copies[first], copies[second]))
  # Not noise alone: that has the stated deviation around the global model.
  spread = np.std(np.concatenate([(a - b).ravel() for a, b in zip(copies[0], run.weights)]))
  assert spread > 0.0101


@pytest.mark.slow
def test_stopped_between_passes_it_goes_on_with_the_next(mixed, tmp_path, monkeypatch, capsys):
  add, kept = passes.Kept.add, []

  def then_stop(self, start, carried):
    add(self, start, carried)
    kept.append(int(carried.number))
    os.kill(os.getpid(), signal.SIGTERM)

  arguments = tiny.arguments(tmp_path, **_MIXED)
  with monkeypatch.context() as patched:
    patched.setattr(passes.Kept, "add", then_stop)
    assert train.train(arguments) == 1
    assert (tmp_path / "run" / "adaptation.partial" / "passes.npz").is_file()
    assert train.train(arguments) == 1  # the second pass of round 2
  assert kept == [1, 2] and "stopped by SIGTERM" in capsys.readouterr().out
  assert train.train(arguments) == 0
  told = capsys.readouterr().out
  assert "pass 3 of at most 3" in told and told.count("pass 1 of at most 3") == 1  # of round 3
  tiny.assert_same_models(tmp_path / "run", mixed)
  assert tiny.rows(tmp_path / "run" / "adaptation.csv") == tiny.rows(mixed / "adaptation.csv")
  assert not (tmp_path / "run" / "adaptation.partial").exists()


@pytest.mark.slow
def test_stopped_and_continued_it_ends_with_the_same_bits(mixed, tmp_path, monkeypatch):
  def stop(*arguments, **settings):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(evaluate, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
      train.train(tiny.arguments(tmp_path, **_MIXED))
  # As if killed in the last round, which adapts: its checkpoint was never written.
  saved = (tmp_path / "run" / "checkpoints").iterdir()
  newest = max(saved, key=lambda path: int(path.name.split("_")[-1]))
  for file in sorted(newest.rglob("*"), reverse=True):
    file.unlink() if file.is_file() else file.rmdir()
  newest.rmdir()
  assert train.train(tiny.arguments(tmp_path, **_MIXED)) == 0
  tiny.assert_same_models(tmp_path / "run", mixed)
  assert tiny.rows(tmp_path / "run" / "adaptation.csv") == tiny.rows(mixed / "adaptation.csv")


@pytest.mark.slow
def test_stopped_between_copies_it_goes_on_with_the_next(mixed, tmp_path, monkeypatch, capsys):
  add, kept = kept_models.Kept.add, []

  def then_stop(self, client, copy, seconds):
    add(self, client, copy, seconds)
    kept.append(client)
    os.kill(os.getpid(), signal.SIGTERM)

  arguments = tiny.arguments(tmp_path, **_MIXED)
  monkeypatch.setattr(copies, "AT_ONCE", 1)
  with monkeypatch.context() as patched:
    patched.setattr(kept_models.Kept, "add", then_stop)
    assert train.train(arguments) == 1
  assert kept == [0] and "copy 1/3 healed" in capsys.readouterr().out
  assert (tmp_path / "run" / "copies.partial" / "client_00000.npz").is_file()
  assert train.train(arguments) == 0
  told = capsys.readouterr().out
  assert "copy 1/3" not in told and "copy 2/3" in told and "copy 3/3" in told
  tiny.assert_same_models(tmp_path / "run", mixed)
  assert not (tmp_path / "run" / "copies.partial").exists()
