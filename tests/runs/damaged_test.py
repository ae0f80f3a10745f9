"""What becomes of a run whose files are damaged or gone: named, and made again to the same bits."""

import os
import pathlib
import shutil
import signal

import numpy as np
import pytest

from fedsafe_tff.commands import attack, compare, export, report, train
from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs import loop, run_dir
from fedsafe_tff.runs.export import open_model
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once", "without_pictures")

_CHANGES = {
  "defense": "distributed_noise",
  "rounds": 3,
  "noise_seed": 5,
  "attacks": "fgsm",
  "attack_eps": 0.1,
}
_TABLES = ("metrics.csv", "clients.csv", "transfer_matrix.csv")


def words(folder: pathlib.Path) -> list[str]:
  return [w for w in tiny.arguments(folder, **_CHANGES) if "attack_steps" not in w]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  assert train.train(words(folder)) == 0
  return folder / "run"


@pytest.fixture
def run(whole, tmp_path):
  return shutil.copytree(whole, tmp_path / "run")


def flip(file: pathlib.Path) -> None:
  """One bit."""
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


def stop_after(monkeypatch, number: int) -> None:
  save = loop.Checkpoints.save

  def save_and_stop(self, state, version):
    save(self, state, version)
    if version == number:
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(loop.Checkpoints, "save", save_and_stop)


def assert_same(run: pathlib.Path, whole: pathlib.Path, *but: str) -> None:
  tiny.assert_same_models(run, whole)
  for name in set(_TABLES) - set(but):
    assert tiny.rows(run / name, "seconds") == tiny.rows(whole / name, "seconds"), name
  for name in ("evaluation.json", "privacy.json", "partition.json"):
    mine, theirs = tiny.read_json(run / name), tiny.read_json(whole / name)
    assert mine == theirs, name


def test_every_file_that_is_read_has_a_checksum(whole):
  known = {
    str((file.parent / name).relative_to(whole))
    for file in whole.rglob(sums.NAME)
    for name in sums._lines(file.parent)
  }
  there = {str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()}
  others = {n for n in there - known if not n.endswith(sums.NAME)}
  # The lock holds nothing, events have checksums of TensorFlow's, the report is drawn anew.
  others = {n for n in others if not n.startswith(("tensorboard/", "plots/"))}
  assert others == {".lock", "report.html"}
  assert known <= there


def test_evaluation_is_made_again_and_nothing_is_trained(run, whole, capsys, monkeypatch):
  names = ["evaluation.json", "examples.npz", "survey/survey.json", "transfer_matrix.csv"]
  for name in names:
    flip(run / name)
  shutil.rmtree(run / "checkpoints")  # nothing to train from
  monkeypatch.setattr(loop, "train", None)
  assert train.train(words(run.parent)) == 0
  said = capsys.readouterr().out
  assert f"damaged or gone is {', '.join(names)}: made again" in said
  assert_same(run, whole)
  assert (run / "survey" / "survey.json").read_bytes() == (
    whole / "survey" / "survey.json"
  ).read_bytes()
  assert train.train(words(run.parent)) == 0
  assert "this run is complete" in capsys.readouterr().out


def test_after_a_stop_among_new_models_nobodys_results_are_taken(run, whole, capsys):
  """Trained again on other hardware, they may be others than those that were attacked."""
  run_dir.write_manifest(run, renewing=True)
  assert train.train(words(run.parent)) == 0
  said = capsys.readouterr().out
  assert "ended while its models were made again" in said and "damaged" not in said
  assert tiny.read_json(run / "manifest.json")["renewing"] is False
  assert_same(run, whole)


def test_models_and_tables_come_from_checkpoint_and_events(run, whole, capsys):
  flip(run / "models" / "global.npz")
  (run / "models" / "client_00001.npz").unlink()
  flip(run / "privacy.json")
  (run / "metrics.csv").unlink()
  before = (run / "evaluation.json").stat().st_mtime_ns
  assert train.train(words(run.parent)) == 0
  said = capsys.readouterr().out
  assert "metrics.csv, models/client_00001.npz, models/global.npz, privacy.json: made" in said
  assert "metrics.csv had lost rounds 1 to 3: restored from TensorBoard's events" in said
  assert_same(run, whole, "metrics.csv")
  assert (run / "evaluation.json").stat().st_mtime_ns == before  # nothing was attacked
  mine, theirs = (tiny.rows(path / "metrics.csv") for path in (run, whole))
  assert [row["round"] for row in mine] == ["1", "2", "3"]
  for left, right in zip(mine, theirs):
    assert {k for k, v in left.items() if v} == {k for k, v in right.items() if v}
    # Events are written before the checkpoint, whose writing is in the table's seconds.
    for name in (name for name in left if left[name] and name != "seconds"):
      np.testing.assert_allclose(float(left[name]), float(right[name]), rtol=1e-6)


def test_without_models_and_evaluation_it_is_not_complete(run, whole, capsys):
  shutil.rmtree(run / "models")
  (run / "evaluation.json").unlink()
  (run / "clients.csv").write_text("round,client\n")
  assert train.train(words(run.parent)) == 0
  said = capsys.readouterr().out
  assert "evaluation.json, models/global.npz: made again" in said
  assert "clients.csv has lost rounds 1 to 3: they can't be restored" in said
  assert_same(run, whole, "clients.csv")


def test_a_run_of_before_there_were_checksums_is_complete(run, capsys):
  for lines in [*run.rglob(sums.NAME)]:
    lines.unlink()
  assert train.train(words(run.parent)) == 0
  assert "this run is complete" in capsys.readouterr().out
  (run / "evaluation.json").write_text('{"clean_accu')
  assert train.train(words(run.parent)) == 0
  assert "damaged or gone is evaluation.json: made again" in capsys.readouterr().out


def test_settings_are_made_anew_and_facts_can_not_be(run, whole, capsys):
  flip(run / "config.json")
  with pytest.warns(Notice, match="config.json was damaged: it is made anew"):
    with pytest.raises(UserError, match="another configuration .--seed: 0 there, 1 here"):
      train.train([*words(run.parent), "--seed=1"])
  assert (run / "config.json").read_bytes() == (whole / "config.json").read_bytes()
  assert train.train(words(run.parent)) == 0
  assert "this run is complete" in capsys.readouterr().out
  flip(run / "manifest.json")
  with pytest.raises(UserError, match="manifest.json is damaged: it holds the noise's seed"):
    train.train(words(run.parent))


def test_a_report_names_what_is_damaged(run, capsys):
  text = (run / "evaluation.json").read_bytes()
  (run / "evaluation.json").write_bytes(text[:-20])
  flip(run / "metrics.csv")
  assert report.report([str(run)]) == 1
  said = capsys.readouterr()
  assert "metrics.csv, evaluation.json: damaged, and left out of the report" in said.err
  assert "evaluation.json is damaged and left out" in (run / "report.html").read_text()
  for read in (compare.compare, attack.attack):
    with pytest.raises(UserError, match="metrics.csv is damaged"):
      read([str(run)])


def test_a_damaged_model_is_not_used(run):
  flip(run / "models" / "global.npz")
  with pytest.raises(UserError, match="models/global.npz is damaged.*run the training's command"):
    open_model(run)
  with pytest.raises(UserError, match="models/global.npz is damaged"):
    attack.attack([str(run), "--suite=standard"])


def test_an_export_below_any_name_is_checked(run, tmp_path):
  out = tmp_path / "an [export]*"
  export.export([str(run), f"--out={out}"])
  model, facts = open_model(out)
  assert facts.class_names and model(np.zeros([1, *facts.input_shape], np.uint8)).shape[0] == 1
  flip(out / "saved_model.pb")
  with pytest.raises(UserError, match="saved_model.pb is damaged"):
    open_model(out)


def test_below_a_folder_that_looks_like_a_pattern_a_run_goes_on(whole, tmp_path, monkeypatch):
  folder = tmp_path / "seed[0] *?"
  with monkeypatch.context() as patch:
    stop_after(patch, 2)
    assert train.train(words(folder)) == 1
  flip(folder / "run" / "checkpoints" / "program_state_2" / "saved_model.pb")
  flip(folder / "run" / "metrics.csv")
  (folder / "run" / ".metrics.csv.abcdefgh.part").touch()  # as a kill leaves it
  with pytest.warns(Notice, match="round 2 can't be read.*put aside"):
    assert train.train(words(folder)) == 0
  assert_same(folder / "run", whole, "metrics.csv")
  assert len(tiny.rows(folder / "run" / "metrics.csv")) == 3
  assert not list((folder / "run").rglob("*.part"))
