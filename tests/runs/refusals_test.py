"""Whole runs on a tiny phantom: how they fail, and go on from there."""

import errno
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from fedsafe_tff import versions
from fedsafe_tff.commands import train
from fedsafe_tff.data import files
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import checkpoints, run_dir, trainers
from fedsafe_tff.training.local import METRICS
from tests.runs import tiny

_PLAIN = {"defense": "distributed_noise", "noise_seed": 3}

pytestmark = pytest.mark.usefixtures("built_once")


def test_run_folders_that_cannot_be_used(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="can't be written to"):
    with run_dir.open_run_dir(tiny.config(tmp_path, run_dir=tmp_path / "file" / "run", **_PLAIN)):
      pass
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "thesis.tex").write_text("")
  with pytest.raises(UserError, match="not empty and not a run folder"):
    with run_dir.open_run_dir(tiny.config(tmp_path, run_dir=tmp_path / "other", **_PLAIN)):
      pass
  assert (tmp_path / "other" / "thesis.tex").exists()


def test_a_run_folder_has_one_process_at_a_time(tmp_path):
  config = tiny.config(tmp_path, **_PLAIN)
  with run_dir.open_run_dir(config) as path:
    with pytest.raises(UserError, match="another process works in"):
      train.train(tiny.arguments(tmp_path, learning_rate=0.5, **_PLAIN))
    assert tiny.read_json(path / "config.json") == config.as_dict()
  with run_dir.open_run_dir(config):
    pass


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(run_dir, "_new_name", lambda config: "runs/now")
  config = tiny.config(tmp_path, run_dir="", **_PLAIN)
  with run_dir.open_run_dir(config) as first, run_dir.open_run_dir(config) as second:
    assert (str(first), str(second)) == ("runs/now", "runs/now-2")


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_good_rounds(tmp_path, monkeypatch):
  real = trainers.Trainer.next

  def broken(self, state, index):
    state, outcome = real(self, state, index)
    if index:
      outcome["clients"][1, METRICS.index("loss")] = np.nan
    return state, outcome

  monkeypatch.setattr(trainers.Trainer, "next", broken)
  words = tiny.arguments(tmp_path, **_PLAIN)
  with pytest.raises(UserError, match="round 2: the loss of client 1 is nan"):
    train.train(words)
  run = tmp_path / "run"
  assert not (run / "evaluation.json").exists()
  assert [p.name for p in (run / "checkpoints").iterdir()] == ["program_state_1"]
  assert [row["round"] for row in tiny.rows(run / "metrics.csv")] == ["1"]
  monkeypatch.undo()
  assert train.train(words) == 0  # from the good round


@pytest.mark.slow
def test_a_clients_last_step_that_diverges_names_the_client(tmp_path):
  """One step: its loss is that before it."""
  words = tiny.arguments(tmp_path, learning_rate=1e39, batch_size=100, rounds=1, **_PLAIN)
  with pytest.raises(UserError, match=r"round 1: the norm of client \d is (nan|inf)"):
    train.train(words)


def test_what_was_wrong_with_the_input_can_be_mended_in_the_same_folder(tmp_path):
  with pytest.raises(UserError, match="--augment has unknown mirror"):
    train.train(tiny.arguments(tmp_path, augment="mirror", **_PLAIN))
  with pytest.raises(UserError, match="--conv_widths=abc must be 6"):
    train.train(tiny.arguments(tmp_path, **tiny.CNN | {"conv_widths": "abc"}, **_PLAIN))
  assert train.train(tiny.arguments(tmp_path, **_PLAIN)) == 0
  with pytest.raises(UserError, match="another configuration"):
    train.train(tiny.arguments(tmp_path, rounds=1, **_PLAIN))


def test_quarter_turns_need_squares(tmp_path):
  images = np.zeros((60, 16, 20), np.uint8)
  np.savez(tmp_path / "own.npz", images=images, labels=np.arange(60) % 2, groups=np.arange(60))
  changes = {"dataset": "npz", "data_dir": tmp_path / "own.npz", "augment": "rot90", **_PLAIN}
  words = tiny.arguments(tmp_path, image_size=0, **changes)
  with pytest.raises(UserError, match="--augment=rot90 needs square images.*16x20"):
    train.train([w for w in words if "num_images" not in w])


@pytest.mark.slow
def test_a_full_disk_under_tensorboard_or_a_checkpoint(tmp_path, monkeypatch):
  def full(*args, **keywords):
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

  words = tiny.arguments(tmp_path, **_PLAIN)
  with monkeypatch.context() as patch:
    patch.setattr(tf.summary, "scalar", full)
    with pytest.raises(UserError, match="TensorBoard's events can't be written.*No space left"):
      train.train(words)
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints.tff.program.FileProgramStateManager, "save", full)
    with pytest.raises(UserError, match="checkpoint of round 1 can't be written.*No space left"):
      train.train(words)
  left = tmp_path / "run" / "checkpoints" / "program_state_1_temp1234"
  left.mkdir()
  assert train.train(words) == 0
  assert not left.exists()


def test_a_full_disk_is_one_line_and_the_run_continues(tmp_path, monkeypatch):
  real = files.os.replace

  def full(source, target):
    if str(target).endswith("evaluation.json"):
      raise OSError(errno.ENOSPC, "No space left on device", str(target))
    real(source, target)

  monkeypatch.setattr(files.os, "replace", full)
  words = tiny.arguments(tmp_path, **_PLAIN)
  with pytest.raises(UserError, match="No space left on device.*free space"):
    train.train(words)
  monkeypatch.undo()
  assert train.train(words) == 0
  assert (tmp_path / "run" / "report.html").exists()


def test_a_class_too_small_for_the_clients(tmp_path):
  with pytest.raises(UserError, match="too few for 30 clients"):
    train.train(tiny.arguments(tmp_path, num_clients=30, defense="distributed_noise"))


def test_other_images_in_the_same_folder_are_refused(tmp_path, capsys):
  rng = np.random.default_rng(0)

  def write(folder: pathlib.Path, count: int):
    for label in ("a", "b"):
      (folder / label).mkdir(parents=True, exist_ok=True)
      for index in range(count):
        pixels = rng.integers(0, 255, (20, 20), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / label / f"{index}.png")

  write(tmp_path / "data", 40)
  changes = {
    "dataset": "image_folder", "data_dir": tmp_path / "data", "defense": "none", "rounds": 1,
    **tiny.CNN,
  }
  idle = ("--num_images", "--adaptation_epochs")
  words = [w for w in tiny.arguments(tmp_path, **changes) if not w.startswith(idle)]
  assert train.train(words) == 0
  file = tmp_path / "run" / "manifest.json"
  manifest = tiny.read_json(file)
  assert len(manifest["identity"]) == 64 and manifest["model_hash"] is None

  # A finished run is shown again, but not as one of other images.
  capsys.readouterr()
  (tmp_path / "data").rename(tmp_path / "away")
  assert train.train(words) == 0
  assert "its images and model are not compared: --data_dir=" in capsys.readouterr().out
  write(tmp_path / "data", 45)
  with pytest.raises(UserError, match="was made of other images: choose another --run_dir"):
    train.train(words)
  run_dir.write_json(file, {k: v for k, v in manifest.items() if k != "identity"})
  assert train.train(words) == 0
  assert "before the identity of a run's images was recorded" in capsys.readouterr().out

  (tmp_path / "run" / "evaluation.json").unlink()
  del manifest["finished"]
  run_dir.write_json(file, manifest)
  with pytest.raises(UserError, match="begun on other images"):
    train.train(words)
  run_dir.write_json(file, {k: v for k, v in manifest.items() if k != "identity"})
  with pytest.raises(UserError, match="did not record the identity.*another --run_dir"):
    train.train(words)


def test_a_run_begun_with_other_keys_or_splits_is_not_gone_on_with(tmp_path):
  with run_dir.open_run_dir(tiny.config(tmp_path, **_PLAIN)) as path:
    run_dir.write_manifest(path, data_hash="0", result_versions=versions.current() | {"keys": 99})
  with pytest.raises(UserError, match="begun by a version with keys 99 .*choose another --run_dir"):
    train.train(tiny.arguments(tmp_path, **_PLAIN))
