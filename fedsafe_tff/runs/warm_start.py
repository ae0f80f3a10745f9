"""Initial weights from a finished run or a file of weights, in the place of drawn ones."""

import dataclasses
import hashlib
import pathlib

import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.classifier import classifier_alone, classifier_specs
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


def begin_from(model: FunctionalModel, init_from: str, trainable: str = "all") -> FunctionalModel:
  """The model with stored initial weights, and with what was frozen beside them.

  Args:
    model: As it would begin.
    init_from: A run folder, or a file of weights.
    trainable: "all", or "classifier" to freeze what comes before. The classifier then begins as
      the model has it: that of another task would have to be unlearnt, and may be of other classes.

  Raises:
    UserError: The file is damaged, or of another model.
  """
  file = file_of(init_from)
  stored = saved_models.read(file)
  own = len(model.frozen)
  frozen = stored.frozen or ()
  weights = (*frozen[own:], *stored.weights)  # of a run that trained the classifier alone too
  specs = model.weight_specs()
  last = len(classifier_specs(model)) if trainable == "classifier" else 0
  compared = slice(None, -last if last else None)
  wanted = [tuple(spec.shape) for spec in specs[compared]]
  if len(weights) != len(specs) or [weight.shape for weight in weights[compared]] != wanted:
    raise UserError(
      f"--init_from={init_from} is of another model: its weights have shapes "
      f"{[weight.shape for weight in weights]}, this run's "
      f"{[tuple(spec.shape) for spec in specs]}; match --model, its widths, --pool_grid, "
      "--image_size and the number of classes"
    )
  if stored.frozen is not None:
    model = model.with_frozen(frozen[:own])
  if last:
    return classifier_alone(model, weights[:-last])
  return dataclasses.replace(model, init_fn=lambda key: tuple(map(tf.constant, weights)))
