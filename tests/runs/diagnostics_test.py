import pathlib

import numpy as np
import PIL.Image
import psutil
import pytest

from fedsafe_tff.runs import diagnostics
from tests.data.formats import files


def _image(path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.fromarray(np.zeros([8, 8], np.uint8)).save(path)


def test_a_data_folder_is_counted_by_class(tmp_path):
  for name in ("Training/glioma/1.jpg", "Training/glioma/2.PNG", "Training/none/1.jpg"):
    _image(tmp_path / name)
  assert "no folder Testing" in diagnostics.check_data_dir(str(tmp_path)).detail
  _image(tmp_path / "Testing" / "none" / "1.jpg")
  (tmp_path / "Training" / "notes.txt").touch()
  outcome = diagnostics.check_data_dir(str(tmp_path))
  assert outcome.passed
  assert "Testing/none 1, Training/glioma 2, Training/none 1" in outcome.line()
  assert outcome.line().startswith("ok   data ")


def test_an_unusable_data_folder_is_explained(tmp_path):
  missing = diagnostics.check_data_dir(str(tmp_path / "missing"))
  assert not missing.passed
  assert missing.line().startswith("FAIL data ")
  assert "no such folder" in missing.detail
  assert "0 folders with images" in diagnostics.check_data_dir(str(tmp_path)).detail
  _image(tmp_path / "a" / "1.png")
  assert "one folder per class" in diagnostics.check_data_dir(str(tmp_path)).detail
  _image(tmp_path / "b" / "1.png")
  assert diagnostics.check_data_dir(str(tmp_path)).passed
  broken = tmp_path / "b" / "1.png"
  broken.write_bytes(broken.read_bytes()[:40])
  outcome = diagnostics.check_data_dir(str(tmp_path))
  assert not outcome.passed
  assert str(broken) in outcome.detail


def test_an_image_too_large_to_open_is_explained(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "1.png").write_bytes(files.png_header(13000, 13000))
  outcome = diagnostics.check_data_dir(str(tmp_path))
  assert not outcome.passed and "1.png can't be read" in outcome.detail


def test_a_file_of_own_arrays(tmp_path):
  file = tmp_path / "own.npz"
  np.savez(file, images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4) % 2)
  outcome = diagnostics.check_data_dir(str(file))
  assert outcome.passed and "4 images (8, 8, 1)" in outcome.detail
  np.savez(file, images=np.zeros((4, 8, 8), np.uint8))
  outcome = diagnostics.check_data_dir(str(file))
  assert not outcome.passed and "has no labels" in outcome.detail


@pytest.mark.parametrize("check", [diagnostics.check_memory, diagnostics.check_disk])
def test_room_is_compared_with_what_is_needed(check):
  assert check(least_gib=0.0).passed
  short = check(least_gib=1e9)
  assert not short.passed
  assert "GiB are needed" in short.detail


def test_versions_and_devices():
  versions = diagnostics.check_versions()
  assert versions.passed
  assert "tensorflow-federated 0." in versions.detail
  assert "CPU" in diagnostics.check_devices().detail


def test_versions_name_what_is_not_installed(monkeypatch):
  metadata = diagnostics.importlib.metadata
  installed = metadata.version

  def without_jaxlib(name: str) -> str:
    if name == "jaxlib":
      raise metadata.PackageNotFoundError(name)
    return installed(name)

  monkeypatch.setattr(metadata, "version", without_jaxlib)
  outcome = diagnostics.check_versions()
  assert not outcome.passed
  assert outcome.detail == "jaxlib not installed: run make setup"


def test_a_round_runs_in_a_worker_that_ends():
  before = psutil.Process().children()
  assert diagnostics.check_tff(60.0).passed
  assert psutil.Process().children() == before


def test_a_round_that_is_late_wrong_or_broken_fails(monkeypatch):
  late = diagnostics.check_tff(0.001)
  assert not late.passed
  assert "no answer in 0.001 s" in late.detail
  assert "gave 3.0 instead of 2" in diagnostics.check_tff(60.0, lambda log, limit: 3.0).detail

  def broken(log_path, limit):
    raise ValueError("two\nlines")

  assert diagnostics.check_tff(60.0, broken).detail == "ValueError: two lines"
