"""Fixtures that several test folders share."""

import os
import pathlib

import pytest

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
  """The folder with the real images (`brain_tumor_mri/`, `pathology/`); skips where there is none.

  `FEDSAFE_DATA` names it; by default it is looked for beside the checkout, in `../shared/data`.
  """
  default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
  folder = pathlib.Path(os.environ.get("FEDSAFE_DATA", default))
  if not (folder / "brain_tumor_mri").is_dir():
    pytest.skip(f"real data not found in {folder}: set FEDSAFE_DATA to the folder that holds it")
  return folder


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
  """A native TFF runtime that all tests of a session share."""
  from fedsafe_tff.runtime.native import NativeRuntime

  with NativeRuntime(tmp_path_factory.mktemp("worker") / "worker.log") as native:
    yield native


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> str:
  """A cache folder that all tests of a session share."""
  return str(tmp_path_factory.mktemp("cache"))
