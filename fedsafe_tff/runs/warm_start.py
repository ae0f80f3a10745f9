"""Initial weights from a finished run or a file of weights, in the place of drawn ones."""

import dataclasses
import hashlib
import pathlib

import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs import saved_models


def file_of(init_from: str) -> pathlib.Path:
  """The file of weights that `--init_from` means: itself, or the global model of a run folder.

  Raises:
    UserError: There is none.
  """
  path = pathlib.Path(init_from).expanduser()
  file = path / "models" / "global.npz" if path.is_dir() else path
  if not file.is_file():
    raise UserError(
      f"--init_from={init_from} holds no weights ({file} is missing): give a finished run's folder "
      "or an .npz of its models/"
    )
  return file


def fingerprint(init_from: str) -> str:
  """sha256 of the file, as hex: what a run began with belongs to its identity."""
  return hashlib.sha256(file_of(init_from).read_bytes()).hexdigest()


def begin_from(model: FunctionalModel, init_from: str) -> FunctionalModel:
  """The model with stored initial weights, and with what was frozen beside them.

  Raises:
    UserError: The file is damaged, or of another model.
  """
  file = file_of(init_from)
  stored = saved_models.read(file)
  wanted = [tuple(spec.shape) for spec in model.weight_specs()]
  if [weight.shape for weight in stored.weights] != wanted:
    raise UserError(
      f"--init_from={init_from} is of another model: its weights have shapes "
      f"{[weight.shape for weight in stored.weights]}, this run's {wanted}; match --model, its "
      "widths, --pool_grid, --image_size and the number of classes"
    )
  if stored.frozen is not None:
    model = model.with_frozen(stored.frozen)
  return dataclasses.replace(
    model, init_fn=lambda key: tuple(tf.constant(weight) for weight in stored.weights)
  )
