"""Keras models that tests adapt, as a user would write them."""

import numpy as np
import tensorflow as tf

from tests import small

STEMS = []  # those of `frozen_stem`, in the order in which they were made


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


def other_size(input_shape, num_classes):
  """A net for images of another size than the data's."""
  del input_shape
  return groups((9, 9, 1), num_classes)


def no_model(input_shape, num_classes):
  """Not a model at all."""
  return [input_shape, num_classes]


def functional(input_shape, num_classes):
  """A functional model of a user."""
  del input_shape, num_classes
  return small.model()


def frozen_stem(input_shape, num_classes):
  """A frozen convolution, drawn from what no seed of ours reaches, and a layer that trains."""
  layers = tf.keras.layers
  stem = layers.Conv2D(6, 5, strides=3, activation="relu", trainable=False)
  made = tf.keras.Sequential(
    [layers.Input(input_shape), stem, layers.Flatten(), layers.Dense(num_classes)]
  )
  drawn = np.random.default_rng().normal(size=stem.kernel.shape, scale=0.3)
  stem.kernel.assign(drawn.astype(np.float32))
  STEMS.append(stem.kernel.numpy())
  return made
