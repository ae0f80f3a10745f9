"""The balls in which attacks move: directions, projections and random points.

Everything works image by image, on float32 [n, h, w, c]; radii and steps are in pixels of [0, 1]
(L-infinity) or in the Euclidean length of the whole image's change, in the same pixels (L2).
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from fedsafe_tff import keys


@dataclasses.dataclass(frozen=True)
class Norm:
  """A norm.

  Attributes:
    length: Change [n, h, w, c] to its length, [n].
    direction: Gradient to the change of length 1 that raises a linear function most; 0 for 0.
    into_ball: (change, radius) to the nearest change that is no longer than the radius.
    random_change: (shape, radius, key) to a uniform change within the radius.
    largest_radius: Above which a radius makes no sense; None for no limit.
  """

  length: Callable[[tf.Tensor], tf.Tensor]
  direction: Callable[[tf.Tensor], tf.Tensor]
  into_ball: Callable[[tf.Tensor, tf.Tensor | float], tf.Tensor]
  random_change: Callable[[tf.Tensor, tf.Tensor | float, tf.Tensor], tf.Tensor]
  largest_radius: float | None = None

  def project(self, x: tf.Tensor, moved: tf.Tensor, eps: tf.Tensor | float) -> tf.Tensor:
    """`moved`, taken back into the ball around `x` and then into the pixel range.

    The second step leaves the ball of neither norm: it brings every pixel nearer to `x`'s.
    """
    return tf.clip_by_value(x + self.into_ball(moved - x, eps), 0.0, 1.0)

  def random_point(self, x: tf.Tensor, eps: tf.Tensor | float, key: tf.Tensor) -> tf.Tensor:
    """A uniform point of the ball around each image, in [0, 1]."""
    return tf.clip_by_value(x + self.random_change(tf.shape(x), eps, key), 0.0, 1.0)


def per_image(values: tf.Tensor) -> tf.Tensor:
  """Reshapes [n] to [n, 1, 1, 1], which multiplies or selects images."""
  return tf.reshape(values, [-1, 1, 1, 1])


def _linf_length(change):
  return tf.reduce_max(tf.abs(change), axis=[1, 2, 3])


def _linf_into_ball(change, radius):
  return tf.clip_by_value(change, -radius, radius)


def _linf_random_change(shape, radius, key):
  return radius * tf.random.stateless_uniform(shape, key, -1.0, 1.0, alg=keys.ALG)


def _l2_length(change):
  return tf.sqrt(tf.reduce_sum(tf.square(change), axis=[1, 2, 3]))


def _l2_direction(gradient):
  # Scaled first: the squares of a saturated model's gradient are 0 in float32.
  largest = tf.reduce_max(tf.abs(gradient), axis=[1, 2, 3], keepdims=True)
  gradient = tf.math.divide_no_nan(gradient, largest)
  return tf.math.divide_no_nan(gradient, per_image(_l2_length(gradient)))


def _l2_into_ball(change, radius):
  length = tf.maximum(_l2_length(change), 1e-12)
  return change * per_image(tf.minimum(1.0, radius / length))


def _l2_random_change(shape, radius, key):
  """A direction from a Gaussian, and a length whose power of the dimension is uniform."""
  direction = _l2_direction(tf.random.stateless_normal(shape, keys.fold(key, 0), alg=keys.ALG))
  volume = tf.random.stateless_uniform(shape[:1], keys.fold(key, 1), alg=keys.ALG)
  dimension = tf.cast(tf.reduce_prod(shape[1:]), tf.float32)
  return radius * direction * per_image(volume ** (1.0 / dimension))


# One entry per name that `AttackSpec.norm` accepts.
NORMS = {
  "linf": Norm(_linf_length, tf.sign, _linf_into_ball, _linf_random_change, largest_radius=1.0),
  "l2": Norm(_l2_length, _l2_direction, _l2_into_ball, _l2_random_change),
}
