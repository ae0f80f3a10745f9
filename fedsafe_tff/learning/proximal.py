"""Mends the sign of TFF's proximal term.

FedProx (Li et al., arXiv:1812.06127) holds a client near the weights w_0 that it received: its
gradient has the term mu (w - w_0). TFF 0.87 adds mu (w_0 - w), which drives the client away, the
more the larger mu. The optimizer here remembers where it started and adds 2 mu (w - w_0), so that
TFF's own algorithm does what the paper says; a test would tell when TFF mends it.
"""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


class TowardsStart(tff.learning.optimizers.Optimizer):
  """An optimizer of a client whose gradients hold TFF's proximal term."""

  def __init__(self, base: tff.learning.optimizers.Optimizer, mu: float):
    """Wraps an optimizer.

    Args:
      base: Takes the steps.
      mu: Strength of the proximal term, as `build_weighted_fed_prox` has it.
    """
    self._base, self._mu = base, mu

  def initialize(self, specs: Any) -> Any:
    """State before the first step."""
    return collections.OrderedDict(
      base=self._base.initialize(specs),
      begun=False,
      start=tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs),
    )

  def next(self, state: Any, weights: Any, gradients: Any) -> tuple[Any, Any]:
    """A step; the first one is taken at w_0."""
    start = tf.nest.map_structure(
      lambda s, w: tf.where(state["begun"], s, w), state["start"], weights
    )
    mended = tf.nest.map_structure(
      lambda g, w, s: g + 2.0 * self._mu * (w - s), gradients, weights, start
    )
    base, weights = self._base.next(state["base"], weights, mended)
    return collections.OrderedDict(base=base, begun=True, start=start), weights
