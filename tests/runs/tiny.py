"""A tiny run on the phantom that tests of the drivers share."""

import atexit
import csv
import functools
import json
import pathlib
import shutil
import tempfile

import numpy as np

from fedsafe_tff.runs.config import Config
from tests import small

FLAGS = {
  "num_images": 120,
  "image_size": 16,
  "model": f"{small.__name__}:{small.net.__name__}",
  "min_client_images": 5,
  "rounds": 2,
  "batch_size": 8,
  "adaptation_epochs": 1,
  "evaluation": "paper",
  "attack_steps": 2,
  "attack_eps": "0.01,0.1",
}
# For tests that are about the paper's network; every other one is faster with the small one.
CNN = {"model": "cnn", "conv_widths": "4,4,4,4,8,8", "dense_widths": "8,8,8,8"}


@functools.cache
def cache() -> str:
  """The cache of prepared images of all runs of this process."""
  folder = tempfile.mkdtemp(prefix="fedsafe-tiny-")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return folder


def arguments(folder: pathlib.Path, **changes) -> list[str]:
  """A command line of the train binary; the run folder is `folder/run` unless changed."""
  values = FLAGS | {"run_dir": folder / "run", "cache_dir": cache()} | changes
  return [f"--{name}={value}" for name, value in values.items()]


def config(folder: pathlib.Path, **changes) -> Config:
  """The same as a `Config`."""
  from fedsafe_tff.runs.flags import command_line

  return command_line.parse(arguments(folder, **changes))


def rows(path: pathlib.Path, *without: str) -> list[dict[str, str]]:
  """Rows of a CSV file, less some columns."""
  with path.open(newline="") as file:
    return [{k: v for k, v in row.items() if k not in without} for row in csv.DictReader(file)]


def read_json(path: pathlib.Path):
  """A JSON file."""
  return json.loads(path.read_text())


def models(run: pathlib.Path) -> dict[str, np.ndarray]:
  """Every tensor of the models that a run left behind, by file and name."""
  found = {}
  for file in sorted((run / "models").glob("*.npz")):
    with np.load(file) as archive:
      found |= {f"{file.stem}/{name}": archive[name] for name in archive}
  assert found
  return found


def assert_same_models(left: pathlib.Path, right: pathlib.Path) -> None:
  """Bit for bit."""
  mine, theirs = models(left), models(right)
  assert mine.keys() == theirs.keys()
  for name, value in mine.items():
    np.testing.assert_array_equal(value, theirs[name], err_msg=name)
