"""Keras models that tests adapt, as a user would write them."""

import tensorflow as tf

from tests import small


def groups(input_shape, num_classes):
  """Convolution, group normalisation, dropout and a dense layer."""
  layers = tf.keras.layers
  return tf.keras.Sequential(
    [
      layers.Input(input_shape),
      layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
      layers.GroupNormalization(groups=4),
      layers.Flatten(),
      layers.Dropout(0.5),
      layers.Dense(num_classes),
    ]
  )


def batch_norm(input_shape, num_classes):
  """A model with moving statistics."""
  layers = tf.keras.layers
  return tf.keras.Sequential(
    [
      layers.Input(input_shape),
      layers.Conv2D(4, 3),
      layers.BatchNormalization(),
      layers.Flatten(),
      layers.Dense(num_classes),
    ]
  )


def feature_map(input_shape, num_classes):
  """A model whose output is not a vector of logits."""
  layers = tf.keras.layers
  return tf.keras.Sequential([layers.Input(input_shape), layers.Conv2D(num_classes, 3)])


def one_more(input_shape, num_classes):
  """A model with a logit too many."""
  return groups(input_shape, num_classes + 1)


def no_model(input_shape, num_classes):
  """Not a model at all."""
  return [input_shape, num_classes]


def functional(input_shape, num_classes):
  """A functional model of a user."""
  del input_shape, num_classes
  return small.model()
