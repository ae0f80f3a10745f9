"""Several models attacked as one: fixed ones, or ones drawn anew whenever they are asked.

The mean is taken over the models' losses, so that the gradient is the mean of their gradients
(expectation over transformation, Athalye et al., arXiv:1802.00420; Liu et al., arXiv:1611.02770,
for the transfer to models that the attacker lacks).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.gradient import LogitsFn

Weights = Sequence[tf.Tensor]
# (weights, key) to weights of a model that the attacker takes for a likely one.
Redraw = Callable[[Weights, tf.Tensor], Weights]

# Models computed side by side: they share nothing but the sum, and on a few cores two passes fill
# them better than one after the other. More would only hold more activations.
_SIDE_BY_SIDE = 2


@dataclasses.dataclass(frozen=True)
class GaussianRedraw:
  """Weights plus independent N(0, sigma^2): what a server does that hands out noised copies."""

  sigma: float

  def __call__(self, weights: Weights, key: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """New weights, drawn from `key`."""
    # One draw for all: an op for each of many small tensors takes longer to trace than to run.
    sizes = [w.shape.num_elements() for w in weights]
    noise = tf.random.stateless_normal([sum(sizes)], key, 0.0, self.sigma, alg=keys.ALG)
    parts = tf.split(noise, sizes)
    return tuple(w + tf.reshape(part, w.shape) for w, part in zip(weights, parts))


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
  """Models of one architecture.

  Attributes:
    apply: (weights, images) to logits.
    stacked: Weights of K models, each tensor with a first dimension K more than a model's.
    num_classes: Of the logits.
    redraw: Makes a new model from one of the K whenever it is asked; None leaves them as they are.
    draws: New models per one of the K and call; 1 without `redraw`.
  """

  apply: Callable[[Weights, tf.Tensor], tf.Tensor]
  stacked: Weights
  num_classes: int
  redraw: Redraw | None = None
  draws: int = 1

  def average(
    self, function: Callable[[LogitsFn], Any], zeros: Any, key: tf.Tensor | None = None
  ) -> Any:
    """The mean over the models of what `function` makes of each.

    Args:
      function: Logits function of one model to a nest of float32 tensors.
      zeros: The nest with zeros in it.
      key: int64 [2] for `redraw`; the same one draws the same models.

    Returns:
      The nest of means.

    Raises:
      ValueError: `redraw` without a key.
    """
    if self.redraw is not None and key is None:
      raise ValueError("models that are drawn anew need a key")
    count = tf.shape(self.stacked[0])[0] * self.draws

    def add(index, total):
      weights = tuple(tensors[index // self.draws] for tensors in self.stacked)
      if self.redraw is not None:
        weights = self.redraw(weights, keys.fold(key, keys.MODEL_DRAW, index))
      made = function(lambda x: self.apply(weights, x))
      return index + 1, tf.nest.map_structure(tf.add, total, made)

    _, total = tf.while_loop(
      lambda index, _: index < count,
      add,
      (tf.constant(0), zeros),
      shape_invariants=(tf.TensorShape([]), tf.nest.map_structure(lambda t: t.shape, zeros)),
      parallel_iterations=_SIDE_BY_SIDE,
    )
    return tf.nest.map_structure(lambda t: t / tf.cast(count, t.dtype), total)

  def logits(self, x: tf.Tensor, key: tf.Tensor | None = None) -> tf.Tensor:
    """Mean logits, float32 [n, num_classes]."""
    zeros = tf.zeros([tf.shape(x)[0], self.num_classes])
    return self.average(lambda logits_fn: logits_fn(x), zeros, key)
