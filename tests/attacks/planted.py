"""Models with adversarial examples planted in them: an attack that finds none has failed.

The binarization test of Zimmermann et al. (arXiv:2206.13991): for each image a new readout of two
classes is fitted to a network's features, that tells points inside of the ball from one on its
border. The latter is an adversarial example by construction; the threshold is moved close to it, so
that few others are left.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

SHAPE = (8, 8, 1)
EPS = 0.1
_FEATURES = 48
_INNER = 60
_RNG = np.random.default_rng(0)
_KERNEL = tf.constant(_RNG.normal(0, 0.5, (3, 3, 1, 8)), tf.float32)
_DENSE = tf.constant(_RNG.normal(0, 0.1, (128, _FEATURES)), tf.float32)


def features(x: tf.Tensor) -> tf.Tensor:
  """A network with a convolution, a pooling and a dense layer; float32 [n, 48]."""
  x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x - 0.5, _KERNEL, 1, "SAME")), 2, 2, "VALID")
  return tf.nn.relu(tf.reshape(x, [-1, 128]) @ _DENSE)


@dataclasses.dataclass(frozen=True)
class Planted:
  """An image with its own readout.

  Attributes:
    image: float32 [8, 8, 1], of class 0.
    weights: float32 [48].
    bias: float32.
    example: float32 [8, 8, 1], of class 1, at a distance of eps.
  """

  image: np.ndarray
  weights: np.ndarray
  bias: np.float32
  example: np.ndarray


def plant(seed: int) -> Planted:
  """Plants an example beside a random image."""
  rng = np.random.default_rng(seed)
  image = rng.uniform(0.2, 0.8, SHAPE).astype(np.float32)
  inner = image + rng.uniform(-EPS, EPS, (_INNER, *SHAPE)).astype(np.float32) * 0.9
  example = image + EPS * rng.choice([-1, 1], SHAPE).astype(np.float32)
  found = features(tf.constant(np.concatenate([inner, [image], [example]]))).numpy()
  labels = np.array([0] * (_INNER + 1) + [1])
  readout = LogisticRegression(C=1e4, class_weight="balanced", max_iter=2000)
  readout.fit(found, labels)
  weights = readout.coef_[0].astype(np.float32)
  scores = found @ weights
  gap = scores[-1] - scores[:-1].max()
  assert gap > 0, "no readout tells the example from the inner points"
  return Planted(image, weights, np.float32(0.05 * gap - scores[-1]), example)


def logits(x: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """Two logits, of which the second wins at the planted example.

  Args:
    x: Images, float32 [n, 8, 8, 1].
    weights: float32 [n, 48], a readout for each.
    bias: float32 [n].
  """
  score = tf.reduce_sum(features(x) * weights, axis=1) + bias
  return tf.stack([tf.zeros_like(score), score], axis=1)
