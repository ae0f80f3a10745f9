"""The CNN as its users would write it in Keras, for peers that take Keras models.

It imports TensorFlow alone: environments of peers have nothing of ours.
"""

import numpy as np
import tensorflow as tf

_POOL_AFTER = (1, 3, 5)


class _Normalise(tf.keras.layers.Layer):
  """The operations of our model, in their order: `Rescaling` would round in another way."""

  def __init__(self, mean, stddev):
    super().__init__(trainable=False)
    self._mean, self._stddev = (np.asarray(v, np.float32) for v in (mean, stddev))

  def call(self, images):
    return (images - self._mean) / self._stddev


def build(input_shape, num_classes, conv_widths, dense_widths, mean, stddev):
  """The model, ending in logits; images are float32 in [0, 1].

  Its weights have the order of those of `fedsafe_tff.models.cnn`, without dropout, whose masks no
  two frameworks draw alike.
  """
  layers = tf.keras.layers
  model = tf.keras.Sequential([layers.Input(input_shape)])
  model.add(_Normalise(mean, stddev))
  for index, filters in enumerate(conv_widths):
    model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
    if index in _POOL_AFTER:
      model.add(layers.MaxPool2D())
  model.add(layers.Flatten())
  for units in dense_widths:
    model.add(layers.Dense(units, activation="relu"))
  model.add(layers.Dense(num_classes))
  return model


def loss():
  """Mean cross-entropy of a batch."""
  return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
