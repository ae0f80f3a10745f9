"""Fixtures that several test folders share."""

import gc
import os
import pathlib

import pytest

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Read by numpy and scikit-learn. Two processes share the tests, and threads of BLAS that outnumber
# the cores wait for one another.
for _library in ("OPENBLAS", "OMP"):
  os.environ.setdefault(f"{_library}_NUM_THREADS", "1")


# Files that take longest, longest first. Whole files go to the processes that share the tests, in
# this order: a long one that begins last would keep one process busy when the others have ended.
_LONGEST = (
  "runs/run_test.py", "learning/fed_safe_test.py", "commands/sweeps_test.py",
  "learning/fed_safe_stages_test.py", "runs/resume_test.py", "commands/sweeps_suites_test.py",
  "runs/refusals_test.py",
  "data/real_data_test.py",
  "runtime/exit_test.py", "learning/stranger_test.py", "runs/private_test.py",
  "contributing_test.py", "runs/load_test.py", "runs/mixture_test.py", "runs/attack_test.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Puts the longest files first."""
  folder = pathlib.Path(__file__).parent
  order = {folder / name: place for place, name in enumerate(_LONGEST)}
  items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
  """What is imported stays, and building graphs makes objects by the thousand: a look at all of
  them each time would take a twentieth of the tests.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 50, 100)


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


# Runs of these folders draw no plots, which take a third of a tiny run, where nobody looks at them:
# a module that does says so by `PICTURES = True`.
_RUNS = ("runs", "commands")


@pytest.fixture(scope="module", autouse=True)
def _pictures(request):
  folder = request.path.relative_to(pathlib.Path(__file__).parent).parts[0]
  if folder not in _RUNS or getattr(request.module, "PICTURES", False):
    yield
    return
  from fedsafe_tff.runs.report import build

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(build, "_PLOTS", ())
    yield


@pytest.fixture
def without_pictures(monkeypatch):
  """Runs without plots in a module that looks at those of others."""
  from fedsafe_tff.runs.report import build

  monkeypatch.setattr(build, "_PLOTS", ())


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


@pytest.fixture(scope="module")
def built_once():
  """Runs with equal settings share what is built for them: see `tests.runs.built_once`."""
  from tests.runs import built_once

  with pytest.MonkeyPatch.context() as patch:
    built_once.install(patch)
    yield
