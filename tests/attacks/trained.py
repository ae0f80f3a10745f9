"""A small model that was trained, with images of its own kind, for tests of how well attacks do."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.models.cnn import build_cnn
from fedsafe_tff.training.feeds import ImageFeed
from fedsafe_tff.training.local import train

SHAPE = (12, 12, 1)
CLASSES = 3


def images(count: int, seed: int, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
  """Faint patterns under noise, uint8, with their classes, int32."""
  patterns = np.random.default_rng(0).choice([-1.0, 1.0], (classes, 4, 4, 1))
  patterns = patterns.repeat(3, axis=1).repeat(3, axis=2)
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, count).astype(np.int32)
  pixels = 0.5 + 0.09 * patterns[labels] + rng.normal(0, 0.12, (count, *SHAPE))
  return np.rint(255 * pixels.clip(0, 1)).astype(np.uint8), labels


@functools.cache
def model(classes: int = CLASSES):
  """The model and its trained weights."""
  x, y = images(300, 1, classes)
  made = build_cnn(
    input_shape=SHAPE,
    num_classes=classes,
    conv_widths=(8, 8, 8, 8, 8, 8),
    dense_widths=(16, 16, 16, 16),
    dropout=0.0,
    calibration=x[:64],
  )
  key, optimizer = keys.root(0), tff.learning.optimizers.build_sgdm(0.05, 0.9)

  @tf.function
  def trained(weights):
    feed = ImageFeed(tf.constant(x), tf.constant(y), key, batch_size=30, epochs=12)
    return train(made, weights, feed, key, optimizer, gradient_clip=1.0).weights

  return made, tuple(w.numpy() for w in trained(made.init(keys.root(3))))


def logits_fn(classes: int = CLASSES):
  """Images in [0, 1] to logits."""
  made, weights = model(classes)
  weights = tuple(tf.constant(w) for w in weights)
  return tf.function(lambda x: made.apply(weights, x), reduce_retracing=True)


def batch(count: int = 60, seed: int = 2, classes: int = CLASSES) -> tuple[tf.Tensor, tf.Tensor]:
  """Images that the model gets right, float32 in [0, 1], and their labels."""
  x, y = images(count, seed, classes)
  x = tf.constant(x, tf.float32) / 255.0
  right = np.asarray(tf.argmax(logits_fn(classes)(x), axis=1)) == y
  return tf.constant(x.numpy()[right]), tf.constant(y[right])


def fooled(x, y, classes: int = CLASSES) -> np.ndarray:
  """Whether images lost their labels, bool [n]."""
  return np.asarray(tf.argmax(logits_fn(classes)(tf.constant(x)), axis=1)) != np.asarray(y)
