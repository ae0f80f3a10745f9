"""Batches by Poisson sampling: every image joins every batch by a coin of its own.

This is what accounting by amplification presumes; shuffled epochs are something else, and cost
more than they seem. A batch has the size that the coins give it, which may be 0, and is neither
padded nor cut.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data.augment import augment
from fedsafe_tff.errors import UserError

# (number of the step, images, labels, whether the metrics count it, carry) -> carry
StepFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, Any], Any]


def poisson_rows(
  count: tf.Tensor | int, rate: tf.Tensor | float, key: tf.Tensor
) -> tf.Tensor:
  """Numbers of the images that a batch has, in order, int32 [any].

  Args:
    count: How many images there are.
    rate: Probability of each, in [0, 1]; drawn in steps of 2^-23.
    key: int64 [2], of this batch.
  """
  drawn = tf.random.stateless_uniform([count], key, alg=keys.ALG) < rate
  return tf.cast(tf.where(drawn)[:, 0], tf.int32)


class PoissonFeed:
  """A client's batches in a round, for local training in the place of shuffled epochs."""

  def __init__(
    self,
    images: tf.Tensor,
    labels: tf.Tensor,
    key: tf.Tensor,
    *,
    rate: tf.Tensor | float,
    steps: int,
    ops: tuple[str, ...] = (),
  ):
    """Describes the batches.

    Args:
      images: uint8 [n, height, width, channels].
      labels: int32 [n].
      key: The client's key of the round, int64 [2]; decides batches and augmentation.
      rate: Probability with which an image joins a batch, in (0, 1].
      steps: Number of batches.
      ops: Names of augmentations, see `data.augment`.

    Raises:
      UserError: A rate or number that is out of range.
    """
    if not tf.is_tensor(rate) and not 0 < rate <= 1:
      raise UserError(
        f"the sampling rate is {rate}, but must lie in (0, 1]: the expected batch can't be larger "
        "than the data"
      )
    if steps < 1:
      raise UserError("Poisson sampling needs at least one step")
    self._images, self._labels, self._key = images, labels, key
    self._rate, self.steps, self._ops = rate, steps, ops

  @property
  def count(self) -> tf.Tensor:
    """Number of images n_i, whoever is drawn."""
    return tf.shape(self._labels)[0]

  def rows(self, step: tf.Tensor | int) -> tf.Tensor:
    """Numbers of the images of a step's batch, int32 [any]."""
    key = keys.fold(self._key, keys.POISSON, step)
    return poisson_rows(self.count, self._rate, key)

  def batch(self, step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """Images, float32 in [0, 1], and labels of a step's batch."""
    rows = self.rows(step)
    x = tf.cast(tf.gather(self._images, rows), tf.float32) / 255.0
    if self._ops:
      x = augment(x, keys.fold(self._key, keys.AUGMENT, step), self._ops)
    return x, tf.gather(self._labels, rows)

  def fold(self, step_fn: StepFn, carry: Any) -> Any:
    """Runs `step_fn` over all batches, one after another; returns what it carries in the end.

    Metrics count the last 1 / rate batches, an epoch in expectation.
    """
    last = self.steps - tf.cast(tf.math.ceil(1.0 / self._rate), tf.int32)

    def body(step, carry):
      x, y = self.batch(step)
      return step + 1, step_fn(step, x, y, tf.cast(step >= last, tf.float32), carry)

    shapes = tf.nest.map_structure(lambda t: t.shape, carry)
    _, carry = tf.while_loop(
      lambda step, _: step < self.steps,
      body,
      (tf.constant(0), carry),
      shape_invariants=(tf.TensorShape([]), shapes),
      parallel_iterations=1,
    )
    return carry
