"""The sum of a batch's gradients, each clipped by itself (Abadi et al., arXiv:1607.00133).

The model is only ever given one unit at a time, so nothing in a batch can couple two: no mean of
losses, no statistics of a batch, and no rounding either, for what a batch of another size rounds
differently would turn signs of a perturbation. A unit is an example, or a microbatch of some.

**Microbatches.** Every drawn example is dealt to a unit by a coin of its own, uniform over a number
of units that does not depend on who was drawn. One example more or less then changes one unit at
most and leaves the law of the others, so that the sum moves by at most 2C. Units cut from a list,
so many examples each, would not do: an example that leaves shifts all that come after it.

**Adversarial examples keep the guarantee.** Let w be the current weights and x' = A(w, x, y, r) the
perturbed example, with coins r of its own. w is what the steps before have released, so that step t
is a function of private data given w, as adaptive composition wants it. The clipped gradient
g(w, x, y, r) = clip(grad loss(w, A(w, x, y, r), y), C) is then a function of one example: however
far A moves x, and whatever gradients of the model it looks at on its way, |g| <= C. One example
more or less moves the sum by at most C, one replaced by at most 2C. Were A to look at other
examples (universal perturbations, mixtures, statistics of a batch), that would not hold.

Dropout masks and random starts are drawn per place in the batch. They are independent and the same
in law for each place, so that an example that joins and moves others by a place changes nothing in
the distribution of their gradients.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel, Weights

# (weights, x, y, key) -> x, of one unit.
Perturb = Callable[[Sequence[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Units side by side: those of one turn are independent, so that they keep both cores busy, where a
# single image is too small for its operations to be divided. Measured on two cores, a turn of 4
# takes two thirds of the time of 4 turns.
_LANES = 4


class ClippedSum(NamedTuple):
  """What comes of a batch.

  Attributes:
    gradients: Sum of the units' clipped gradients, one tensor per weight.
    logits: float32 [n, classes], of the images that the gradients are taken at.
    losses: float32 [n].
    norms: L2 norm of each unit's gradient before clipping, float32 [units].
  """

  gradients: Weights
  logits: tf.Tensor
  losses: tf.Tensor
  norms: tf.Tensor


def clipped_sum(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  clip_norm: tf.Tensor | float,
  dropout_key: tf.Tensor,
  attack_key: tf.Tensor | None = None,
  perturb: Perturb | None = None,
  units: tf.Tensor | None = None,
) -> ClippedSum:
  """Sums the gradients of a batch's units, each scaled down to at most L2 norm C.

  A gradient that is not finite counts as zero: one example must not break the bound either.

  Args:
    model: The model; it is given one unit at a time.
    weights: Where the gradients are taken.
    x: float32 [n, height, width, channels] in [0, 1]; n may be 0.
    y: int32 [n].
    clip_norm: Norm C, above 0.
    dropout_key: int64 [2]; each unit folds its place in.
    attack_key: int64 [2], as much for `perturb`.
    perturb: Makes a unit's images from that unit and the weights alone.
    units: Number of the unit that each example is in, int32 [n]; the gradient of a unit's mean loss
      is clipped, and units without examples give nothing. None is a unit for each example.
  """
  weights = tuple(tf.convert_to_tensor(w) for w in weights)
  clip_norm = tf.convert_to_tensor(clip_norm, tf.float32)

  def unit(weights, x, y, clip_norm, dropout_key, attack_key):
    if perturb is not None:
      x = tf.stop_gradient(perturb(weights, x, y, attack_key))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.apply(weights, x, seed=dropout_key, training=True)
      losses = model.losses(logits, y)
      loss = tf.reduce_mean(losses)
    if losses.shape.rank == 0:  # a user's loss that gives the mean, of this unit alone
      losses = tf.fill(tf.shape(y), losses)
    gradients = tape.gradient(
      loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    norm = tf.linalg.global_norm(gradients)
    scale = tf.where(tf.math.is_finite(norm), clip_norm / tf.maximum(norm, clip_norm), 0.0)
    return tuple(tf.math.multiply_no_nan(g, scale) for g in gradients), logits, losses, norm

  if not tf.executing_eagerly():  # one graph for all units, apart: see `fedsafe_tff.apart`
    unit = tf.function(unit, autograph=False, experimental_attributes={"_noinline": True})

  count = number = tf.shape(y)[0]
  if units is not None:
    taken, places = tf.unique(units)
    number = tf.shape(taken)[0]

  def at(place):
    if units is None:  # of a static size, for models that ask for it
      rows = tf.reshape(place, [1])
    else:
      rows = tf.cast(tf.where(tf.equal(places, place))[:, 0], tf.int32)
    attack = dropout_key if attack_key is None else keys.fold(attack_key, place)
    drawn = (tf.gather(x, rows), tf.gather(y, rows))
    return rows[:, tf.newaxis], unit(
      weights, *drawn, clip_norm, keys.fold(dropout_key, place), attack
    )

  def turn(lanes):
    def body(place, sums, logits, losses, norms):
      made = [at(place + lane) for lane in range(lanes)]
      sums = tuple(tf.add_n([total, *(m[0][i] for _, m in made)]) for i, total in enumerate(sums))
      for lane, (rows, (_, unit_logits, unit_losses, norm)) in enumerate(made):
        logits = tf.tensor_scatter_nd_update(logits, rows, unit_logits)
        losses = tf.tensor_scatter_nd_update(losses, rows, unit_losses)
        norms = tf.tensor_scatter_nd_update(norms, [[place + lane]], [norm])
      return place + lanes, sums, logits, losses, norms

    return body

  carry = (
    tf.constant(0),
    tuple(tf.zeros_like(w) for w in weights),
    tf.zeros([count, model.num_classes]),
    tf.zeros([count]),
    tf.zeros([number]),
  )
  for lanes in (_LANES, 1):  # the last few one by one
    carry = tf.while_loop(
      lambda place, *_, lanes=lanes: place + lanes <= number,
      turn(lanes),
      carry,
      parallel_iterations=1,
    )
  return ClippedSum(*carry[1:])
