"""Any Keras model, or other model that keeps its weights in variables, as a functional model.

The model is traced once; its graph is cut free of its variables, which become arguments, and its
random ops become stateless ones fed by the key, so that dropout masks are as repeatable as
everything else. Frozen weights become constants. Weights that training updates without a gradient
(BatchNorm's moving statistics) have no place in a federated average and are refused.
"""

import contextlib
import functools
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import pure
from fedsafe_tff.models.functional import FunctionalModel, Weights


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
  """Keras's initializers draw from `seed` inside; Python's and numpy's generators are put back.

  Keras takes 32 bits: of a larger seed, a hash.
  """
  before = random.getstate(), np.random.get_state()
  if seed >= 2**32:
    seed = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")
  tf.keras.utils.set_random_seed(seed)
  try:
    yield
  finally:
    random.setstate(before[0])
    np.random.set_state(before[1])


def from_keras(
  build: Callable[[tuple[int, int, int], int], tf.keras.Model],
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  name: str = "keras",
) -> FunctionalModel:
  """Adapts the Keras model that `build(input_shape, num_classes)` returns.

  Args:
    build: Makes a Keras model that takes float32 [n, h, w, c] in [0, 1] and returns logits.
    input_shape: (height, width, channels).
    num_classes: Number of logits.
    name: A short name, for manifests.

  Returns:
    The functional model. Its initial weights are those that the Keras model has, pretrained ones
    too, whatever the key: `seeded` around `build` makes drawn ones repeatable.

  Raises:
    UserError: Training updates weights without a gradient, or the model returns the wrong shape or
      uses ops that can't be cut free (control flow around variables, unknown random ops).
  """
  model = build(tuple(input_shape), num_classes)
  if not isinstance(model, tf.keras.Model):
    raise UserError(f"{name} must return a Keras model, but returned {type(model).__name__}")
  if not model.built:
    model.build((None, *input_shape))
  return from_variables(
    model,
    trainable=model.trainable_weights,
    frozen=model.non_trainable_weights,
    input_shape=input_shape,
    num_classes=num_classes,
    name=name,
  )


def from_variables(
  forward: Callable[[tf.Tensor, bool], tf.Tensor],
  *,
  trainable: Sequence[tf.Variable],
  frozen: Sequence[tf.Variable],
  input_shape: Sequence[int],
  num_classes: int | None = None,
  name: str,
  **more: Any,
) -> FunctionalModel:
  """Adapts a forward pass (images, training) -> logits that reads variables.

  Args:
    forward: Is traced once with and once without training.
    trainable: The variables that become the model's weights, with their values.
    frozen: Other variables that it reads; they become constants.
    input_shape: Of one image.
    num_classes: Number of logits; None takes what comes.
    name: A short name, for manifests and messages.
    **more: More of `FunctionalModel`.

  Raises:
    UserError: As `from_keras`.
  """
  image_spec = tf.TensorSpec([None, *input_shape], tf.float32)
  passes = {
    training: pure.from_variables(
      functools.partial(forward, training=training), trainable, frozen, image_spec, name
    )
    for training in (False, True)
  }

  def with_frozen(values: Sequence[np.ndarray]) -> FunctionalModel:
    for variable, value in zip(frozen, values, strict=True):
      variable.assign(value)
    return from_variables(
      forward,
      trainable=trainable,
      frozen=frozen,
      input_shape=input_shape,
      num_classes=num_classes,
      name=name,
      **more,
    )

  whole = {
    "weight_names": tuple(v.name for v in trainable),
    "frozen": tuple((v.name, v.numpy()) for v in frozen),
    "with_frozen_fn": with_frozen,
  }
  return from_passes(
    passes,
    [v.numpy() for v in trainable],
    input_shape=input_shape,
    num_classes=num_classes,
    name=name,
    **(whole | more),
  )


def from_passes(
  passes: Mapping[bool, pure.Pass],
  values: Sequence[np.ndarray],
  *,
  input_shape: Sequence[int],
  num_classes: int | None = None,
  name: str,
  **more: Any,
) -> FunctionalModel:
  """The functional model of a forward pass with (True) and one without training (False).

  Args:
    passes: As `pure` makes them.
    values: Initial weights.
    input_shape: Of one image.
    num_classes: Number of logits; None takes what comes.
    name: A short name, for manifests and messages.
    **more: More of `FunctionalModel`.

  Raises:
    UserError: They don't return [n, num_classes].
  """
  logits_shape = passes[False].structured_outputs.shape
  classes = logits_shape[-1] if logits_shape.rank == 2 else None
  if classes is None or classes != (num_classes or classes):
    wanted = f"[n, {num_classes or 'classes'}]"
    raise UserError(f"{name} returns shape {logits_shape}, but {wanted} logits are needed")

  def init(key: tf.Tensor) -> Weights:
    del key
    return tuple(tf.constant(value) for value in values)

  def apply(weights, images, key, training):
    key = keys.root(0) if key is None else key
    return passes[training](images, key, *weights)

  return FunctionalModel(
    name=name,
    input_shape=tuple(input_shape),
    num_classes=classes,
    init_fn=init,
    apply_fn=apply,
    **more,
  )
