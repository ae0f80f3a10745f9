"""From the name of a model to the model."""

import importlib
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.cnn import build_cnn, parse_widths
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.models.keras_adapter import from_keras, seeded


def build_model(
  name: str,
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  conv_widths: str = "narrow",
  dense_widths: str = "64,32,16,8",
  dropout: float = 0.25,
  mean: Sequence[float] = (0.5,),
  stddev: Sequence[float] = (0.25,),
  compute_dtype: str = "float32",
  pool_grid: int = 0,
  calibration: np.ndarray | None = None,
  seed: int = 0,
) -> FunctionalModel:
  """Builds `cnn`, or the user's `package.module:function`.

  The user's function takes (input_shape, num_classes) and returns a Keras model or a
  `FunctionalModel`; it sees images in [0, 1] and normalises them itself. What Keras draws for its
  initial weights follows from `seed`.

  Raises:
    UserError: The name can't be resolved, or what it makes can't be used.
  """
  if name == "cnn":
    return build_cnn(
      input_shape=input_shape,
      num_classes=num_classes,
      conv_widths=parse_widths(conv_widths, 6, "conv_widths"),
      dense_widths=parse_widths(dense_widths, 4, "dense_widths"),
      dropout=dropout,
      mean=mean,
      stddev=stddev,
      compute_dtype=compute_dtype,
      pool_grid=pool_grid,
      calibration=calibration,
    )
  module_name, _, function_name = name.partition(":")
  try:
    build = getattr(importlib.import_module(module_name), function_name)
    if not callable(build):
      raise TypeError(f"{function_name} is not a function")
  except (ImportError, AttributeError, TypeError, ValueError) as error:
    raise UserError(
      f"--model={name} can't be loaded ({error}): give cnn or an importable package.module:function"
    ) from None
  with seeded(seed):
    made = build(tuple(input_shape), num_classes)
  if isinstance(made, FunctionalModel):
    return made
  return from_keras(lambda *_: made, input_shape=input_shape, num_classes=num_classes, name=name)
