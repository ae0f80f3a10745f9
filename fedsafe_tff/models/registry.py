"""From the name of a model to the model."""

import hashlib
import types
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff import lazy, users_code

# Name to a function of (input_shape, num_classes) and of those settings of `build_model` that it
# takes. It is imported on first use, so that flags know the names without TensorFlow.
MODELS: dict[str, Callable[..., Any]] = {
  "cnn": lazy.Member("fedsafe_tff.models.cnn", "from_settings"),
  "gn_cnn": lazy.Member("fedsafe_tff.models.gn_cnn", "from_settings"),
  "gn_silu_cnn": lazy.Member("fedsafe_tff.models.gn_cnn", "smooth_from_settings"),
}

# At most one: the function of `MODELS`, its settings, what it built.
_last: list[tuple[Callable[..., Any], dict[str, Any], Any]] = []


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
  calibration: Any = None,
  seed: int = 0,
) -> Any:
  """Builds one of `MODELS`, or the user's `package.module:function` or `PATH/file.py:function`.

  The user's function takes (input_shape, num_classes) and returns a Keras model or a
  `FunctionalModel`; it sees images in [0, 1] and normalises them itself. What Keras draws for its
  initial weights follows from `seed`.

  Args:
    name: See above.
    input_shape: (height, width, channels).
    num_classes: Number of logits.
    conv_widths: Of all: "narrow", "wide" or six comma-separated numbers.
    dense_widths: Of "cnn": four comma-separated numbers.
    dropout: Of "cnn": rate before the last layer.
    mean: Of all, per channel, in pixels of [0, 1]; what the first layer subtracts.
    stddev: Of all, per channel, in pixels of [0, 1]; what it divides by.
    compute_dtype: Of "cnn": "float32" or "bfloat16".
    pool_grid: Of all, see `build_cnn`.
    calibration: Of "cnn": images, uint8 [n, height, width, channels], or None.
    seed: Of what Keras draws.

  Returns:
    A `FunctionalModel`.

  Raises:
    UserError: The name can't be resolved, or what it makes can't be used.
  """
  if name in MODELS:
    offered = {
      "conv_widths": conv_widths,
      "dense_widths": dense_widths,
      "dropout": dropout,
      "mean": mean,
      "stddev": stddev,
      "compute_dtype": compute_dtype,
      "pool_grid": pool_grid,
      "calibration": calibration,
    }
    taken = lazy.taken(MODELS[name], offered)
    return _last_or_new(name, {"input_shape": input_shape, "num_classes": num_classes, **taken})
  from fedsafe_tff.models.functional import FunctionalModel
  from fedsafe_tff.models.keras_adapter import from_keras
  from fedsafe_tff.models.logits import check_logits

  _, build = load_function(name)
  made = call_function(build, input_shape, num_classes, seed)
  model = made
  if not isinstance(made, FunctionalModel):
    model = from_keras(
      lambda *_: made, input_shape=input_shape, num_classes=num_classes, name=name
    )
  check_logits(model)
  return model


def _last_or_new(name: str, settings: dict[str, Any]) -> Any:
  """One of `MODELS`; the last one again where its settings are those of it.

  It is a pure function, and holds its compiled graphs: runs that follow one another in a process
  share them. Only the last network is kept, with the graphs that were asked of it.
  """
  build = MODELS[name]
  if not all(_compares(value) for value in settings.values()):
    return build(**settings)
  wanted = {key: _by_value(value) for key, value in settings.items()}
  for known_build, known, network in _last:
    if known_build is build and known == wanted:
      return network
  network = build(**settings)
  _last[:] = [(build, wanted, network)]
  return network


def _compares(value: Any) -> bool:
  if isinstance(value, (tuple, list)):
    return all(_compares(part) for part in value)
  return value is None or isinstance(value, (bool, int, float, str)) or _is_array(value)


def _by_value(value: Any) -> Any:
  if _is_array(value):
    return str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()
  return tuple(map(_by_value, value)) if isinstance(value, (tuple, list)) else value


def _is_array(value: Any) -> bool:
  import numpy as np  # flags read the names above without it

  return isinstance(value, (np.generic, np.ndarray))


def call_function(
  build: Callable[..., Any], input_shape: tuple[int, int, int], num_classes: int, seed: int
) -> Any:
  """What a user's function returns; layers are named as in a process that made no others."""
  import tensorflow as tf

  from fedsafe_tff.models.keras_adapter import seeded

  tf.keras.backend.reset_uids()
  with seeded(seed):
    arguments = (tuple(input_shape), num_classes)
    return users_code.call(build, arguments, flag="model", name=_name(build))


def _name(build: Callable[..., Any]) -> str:
  return f"{getattr(build, '__module__', '?')}:{getattr(build, '__qualname__', build)}"


def load_function(name: str) -> tuple[types.ModuleType, Callable[..., Any]]:
  """The user's module and function.

  Raises:
    UserError: Whatever the module raises while it is loaded, in one line.
  """
  return users_code.load_function(
    name,
    flag="model",
    choices=", ".join(MODELS),
    takes="(input_shape, num_classes)",
    arguments=((8, 8, 1), 2),
  )
