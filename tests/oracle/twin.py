"""The network of `equations.Network` as the project's functional model, with weights from NumPy."""

import numpy as np
import tensorflow as tf

from fedsafe_tff.models.functional import FunctionalModel


def weights(seed, shape, classes, hidden=6, scale=0.5):
  """Float32 weights of a network for images of `shape`."""
  rng = np.random.default_rng(seed)
  pixels = int(np.prod(shape))
  sizes = ((pixels, hidden), (hidden,), (hidden, classes), (classes,))
  spread = (scale, scale, 4 * scale, scale)
  return [rng.normal(0, s, size).astype(np.float32) for s, size in zip(spread, sizes)]


def model(shape, classes, initial):
  """The model; `initial` are its first weights."""

  def apply(values, inputs, key, training):
    del key, training
    first, offset, second, last = values
    return tf.tanh(tf.reshape(inputs, [-1, int(np.prod(shape))]) @ first + offset) @ second + last

  return FunctionalModel(
    "twin", shape, classes, lambda key: tuple(map(tf.constant, initial)), apply
  )
