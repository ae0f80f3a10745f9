"""A client's batches, in order: from images in memory, or from a data set as its owner made it."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data.augment import augment

# (number of the step, images, labels, whether the metrics count it, carry) -> carry
StepFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, Any], Any]


class ImageFeed:
  """Shuffled, augmented batches of images that are all in memory, for some epochs.

  Only the last epoch counts for metrics. The last batch of an epoch may be smaller.
  """

  def __init__(
    self,
    images: tf.Tensor,
    labels: tf.Tensor,
    key: tf.Tensor,
    *,
    batch_size: int = 32,
    epochs: int = 1,
    shuffle: bool = True,
    ops: tuple[str, ...] = (),
  ):
    """Describes the batches.

    Args:
      images: uint8 [n, height, width, channels].
      labels: int32 [n].
      key: The client's key of the round; decides order and augmentation.
      batch_size: Images in a batch.
      epochs: Local epochs E.
      shuffle: Whether every epoch has its own order.
      ops: Names of augmentations, see `data.augment`.
    """
    self._images, self._labels, self._key = images, labels, key
    self._batch_size, self._epochs, self._shuffle, self._ops = batch_size, epochs, shuffle, ops

  @property
  def count(self) -> tf.Tensor | None:
    """Number of images n_i, whatever the epochs."""
    return tf.shape(self._labels)[0]

  @property
  def steps_per_epoch(self) -> tf.Tensor:
    """Batches in an epoch."""
    return (self.count + self._batch_size - 1) // self._batch_size

  @property
  def steps(self) -> tf.Tensor:
    """Batches in all epochs."""
    return self._epochs * self.steps_per_epoch

  def order(self, epoch: tf.Tensor) -> tf.Tensor:
    """The images' order in an epoch, int32 [n]."""
    if not self._shuffle:
      return tf.range(self.count)
    return tf.random.experimental.stateless_shuffle(
      tf.range(self.count), keys.fold(self._key, keys.SHUFFLE, epoch), alg=keys.ALG
    )

  def batch(self, step: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images, float32 in [0, 1], and labels of a step, from the order of its epoch."""
    position = step % self.steps_per_epoch
    rows = order[position * self._batch_size : (position + 1) * self._batch_size]
    y = tf.gather(self._labels, rows)
    x = tf.cast(tf.gather(self._images, rows), tf.float32) / 255.0
    if self._ops:
      x = augment(x, keys.fold(self._key, keys.AUGMENT, step), self._ops)
    return x, y

  def fold(self, step_fn: StepFn, carry: Any) -> Any:
    """Runs `step_fn` over all batches, one after another; returns what it carries in the end."""
    steps_per_epoch, steps = self.steps_per_epoch, self.steps

    def body(step, order, carry):
      epoch = step // steps_per_epoch
      if self._shuffle:
        first = tf.equal(step % steps_per_epoch, 0)
        order = tf.cond(first, lambda: self.order(epoch), lambda: order)
      x, y = self.batch(step, order)
      last = tf.cast(tf.equal(epoch, self._epochs - 1), tf.float32)
      return step + 1, order, step_fn(step, x, y, last, carry)

    shapes = tf.nest.map_structure(lambda t: t.shape, carry)
    _, _, carry = tf.while_loop(
      lambda step, *_: step < steps,
      body,
      (tf.constant(0), tf.range(self.count), carry),
      shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), shapes),
      parallel_iterations=1,
    )
    return carry


class BatchFeed:
  """The batches of a data set, as often and in the order that it gives them: TFF's way."""

  count = None  # of all batches, told after they have been seen

  def __init__(self, dataset: tf.data.Dataset):
    """Takes (x, y) batches, or mappings with `x` and `y`; x float32, or uint8 to be scaled."""
    self._dataset = dataset

  def fold(self, step_fn: StepFn, carry: Any) -> Any:
    """Runs `step_fn` over all batches, one after another; returns what it carries in the end."""

    @tf.autograph.experimental.do_not_convert
    def one(step, batch, carry):
      x, y = (batch["x"], batch["y"]) if isinstance(batch, Mapping) else batch
      x = tf.cast(x, tf.float32) / 255.0 if x.dtype == tf.uint8 else tf.cast(x, tf.float32)
      return step_fn(step, x, tf.reshape(tf.cast(y, tf.int32), [-1]), tf.constant(1.0), carry)

    # An iterator and not `reduce`, whose body would leave the device that the client runs on.
    @tf.function
    def loop(dataset, carry):
      step = 0
      for batch in iter(dataset):
        carry = one(step, batch, carry)
        step += 1
      return carry

    return loop(self._dataset, carry)
