"""What an attack climbs: a loss of one or of several models, with its gradient by the image."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from fedsafe_tff.attacks.ensemble import Ensemble
from fedsafe_tff.attacks.gradient import LogitsFn, logits_and_gradient
from fedsafe_tff.attacks.loss import LOSSES, TARGETED, margin
from fedsafe_tff.attacks.norms import per_image

Models = LogitsFn | Ensemble


class Height(NamedTuple):
  """How far images have come, each float32 [n].

  Attributes:
    loss: What the attack raises.
    margin: Above 0 where the label is missed (the target met), a mean for several models.
  """

  loss: tf.Tensor
  margin: tf.Tensor

  def above(self, other: "Height") -> tf.Tensor:
    """Whether it is higher, bool [n].

    Where the loss is the same the margin decides: cross-entropy is exactly 0 in float32 for whole
    regions of a model that is sure of itself, and a climb must not stand still there.
    """
    same = tf.equal(self.loss, other.loss)
    return (self.loss > other.loss) | (same & (self.margin > other.margin))

  def fools_more(self, other: "Height") -> tf.Tensor:
    """Whether it fools where the other doesn't, or is higher with both alike, bool [n]."""
    fools, before = self.margin > 0, other.margin > 0
    return (fools & ~before) | (tf.equal(fools, before) & self.above(other))


class Slope(NamedTuple):
  """`Height`, with the gradient of the summed loss, shaped as the images.

  The sum, not the mean: an image's gradient must not depend on its batch.
  """

  loss: tf.Tensor
  margin: tf.Tensor
  gradient: tf.Tensor

  @property
  def height(self) -> Height:
    """Without the gradient."""
    return Height(self.loss, self.margin)


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
  """A loss to climb.

  Attributes:
    models: A logits function, or an `Ensemble`, of which the mean loss is taken.
    labels: int32 [n]; true ones, whose loss is raised, or targets, whose loss is lowered.
    loss: A name of `LOSSES`.
    targeted: Whether `labels` are targets.
    view: (images, key) to the images that the models are shown, for gradients only; None for the
      images themselves.
  """

  models: Models
  labels: tf.Tensor
  loss: str = "cross_entropy"
  targeted: bool = False
  view: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None

  def height(self, x: tf.Tensor, key: tf.Tensor | None = None) -> Height:
    """Loss and margin at `x`, float32 [n, h, w, c]; `key` draws models that are drawn anew."""

    def of_one(logits_fn):
      return self._height(logits_fn(x))

    if not isinstance(self.models, Ensemble):
      return of_one(self.models)
    return self.models.average(of_one, Height(*self._zeros(x)), key)

  def slope(self, x: tf.Tensor, key: tf.Tensor | None = None) -> Slope:
    """`height` with the gradient. Only `x` is watched: no gradient of weights is computed."""

    def of_one(logits_fn):
      def shown(x):
        return logits_fn(x if self.view is None else self.view(x, key))

      logits, gradient = logits_and_gradient(shown, x, self.labels, self._loss_fn)
      return Slope(*self._height(logits), -gradient if self.targeted else gradient)

    if not isinstance(self.models, Ensemble):
      return of_one(self.models)
    return self.models.average(of_one, Slope(*self._zeros(x), tf.zeros_like(x)), key)

  def rows(self, rows: tf.Tensor) -> "Objective":
    """The objective of some of the images, `rows` int [m]."""
    return dataclasses.replace(self, labels=tf.gather(self.labels, rows))

  @property
  def _loss_fn(self):
    return TARGETED.get(self.loss, LOSSES[self.loss]) if self.targeted else LOSSES[self.loss]

  def _zeros(self, x):
    zeros = tf.zeros(tf.shape(x)[:1])
    return zeros, zeros

  def _height(self, logits) -> Height:
    height = Height(self._loss_fn(logits, self.labels), margin(logits, self.labels))
    return Height(-height.loss, -height.margin) if self.targeted else height


class Record(NamedTuple):
  """The best images so far, with their heights.

  Attributes:
    images: float32 [n, h, w, c].
    height: Theirs.
  """

  images: tf.Tensor
  height: Height

  @classmethod
  def empty(cls, x: tf.Tensor) -> "Record":
    """A record that everything breaks."""
    lowest = tf.fill(tf.shape(x)[:1], -float("inf"))
    return cls(x, Height(lowest, lowest))

  def updated(self, images: tf.Tensor, height: Height, better: tf.Tensor) -> "Record":
    """Takes over the images that are `better`, bool [n]."""
    return Record(
      tf.where(per_image(better), images, self.images),
      Height(*(tf.where(better, new, old) for new, old in zip(height, self.height))),
    )

  def shapes(self) -> "Record":
    """Shape invariants of a loop that carries the record."""
    return tf.nest.map_structure(lambda tensor: tensor.shape, self)
