"""DP-SGD's gradient, in the place of `training_gradient`: clipped per example, noised, averaged.

What comes after is post-processing: momentum, Adam and every other optimizer may follow it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.privacy.dp_sgd.adaptive import AdaptiveClip
from fedsafe_tff.privacy.dp_sgd.per_example import ClippedSum, clipped_sum
from fedsafe_tff.training.steps import training_gradient


class Stepped(NamedTuple):
  """A step with an adaptive clipping norm.

  Attributes:
    batch: Logits, losses and norms before clipping; not private.
    gradients: Noised mean gradient, one tensor per weight.
    clip_norm: C of the next step, private.
  """

  batch: ClippedSum
  gradients: Weights
  clip_norm: tf.Tensor


@dataclasses.dataclass(frozen=True)
class DpSgd:
  """A private gradient; called, it is a local gradient as local training takes it.

  (sum of clipped gradients + N(0, (z C)^2)) / (expected number of units). The divisor does not
  depend on who was drawn. Logits, losses and norms that come beside it are not private.

  Attributes:
    clip_norm: Norm C of a unit's gradient; infinity is the plain gradient, to the bit, and needs
      `noise_multiplier` 0.
    noise_multiplier: z, the noise's standard deviation on the sum over C.
    batch_size: Expected examples in a batch (sampling rate times images; the size of the batch
      where it is fixed).
    microbatch: Examples, in expectation, whose mean gradient is clipped as one; each example is
      dealt to one of `batch_size / microbatch` units by a coin. With more than one, an example more
      or less changes its unit's gradient by up to 2C, not C: see `accountant.dp_sgd_releases`.
    attack_eps: Perturbation of adversarial training, in pixels of [0, 1], to begin with.
    attack_steps: PGD steps of adversarial training; 0 trains on the images as they are.
    adaptive: Moves C from step to step, see `step`; None keeps it.

  Raises:
    UserError: A value is out of range, or noise without a finite clipping norm.
  """

  clip_norm: float
  noise_multiplier: float
  batch_size: float
  microbatch: int = 1
  attack_eps: float = 0.0
  attack_steps: int = 0
  adaptive: AdaptiveClip | None = None
  private: ClassVar[bool] = True  # its keys come of the noise's seed, see `LocalGradient`

  def __post_init__(self):
    if not self.clip_norm > 0:
      raise UserError(f"DP-SGD's clipping norm is {self.clip_norm}, but must be above 0")
    if not (self.noise_multiplier >= 0 and math.isfinite(self.noise_multiplier)):
      raise UserError(
        f"DP-SGD's noise multiplier is {self.noise_multiplier}, but must be a finite number of at "
        "least 0"
      )
    if self.noise_multiplier and math.isinf(self.clip_norm):
      raise UserError("DP-SGD's noise needs a finite clipping norm: nothing bounds an example")
    if not self.batch_size > 0:
      raise UserError(f"DP-SGD's batch size is {self.batch_size}, but must be above 0")
    if self.microbatch < 1:
      raise UserError(f"DP-SGD's microbatch is {self.microbatch}, but must be at least 1")
    if self.microbatch > 1 and self.expected_units != int(self.expected_units):
      raise UserError(
        f"DP-SGD's batches of {self.batch_size:g} make no whole number of microbatches of "
        f"{self.microbatch}"
      )
    if self.attack_steps < 0 or not self.attack_eps >= 0:
      raise UserError("DP-SGD's attack needs eps and steps of at least 0")

  @property
  def expected_units(self) -> float:
    """What the noised sum is divided by."""
    return self.batch_size / self.microbatch

  def initialize(self) -> tuple[tf.Tensor, ...]:
    """What local training carries from step to step: C where it adapts, else nothing."""
    return () if self.adaptive is None else (self.adaptive.initialize(),)

  def carried(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    x: tf.Tensor,
    y: tf.Tensor,
    memory: tuple[tf.Tensor, ...],
    *,
    key: tf.Tensor,
    step: tf.Tensor | int,
    attack_eps: tf.Tensor | float | None = None,
  ) -> tuple[tuple[tf.Tensor, tf.Tensor, Weights], tuple[tf.Tensor, ...]]:
    """What `__call__` returns, and what the next step is given; `initialize` is the first's."""
    how = {"key": key, "step": step, "attack_eps": attack_eps}
    if self.adaptive is None:
      return self(model, weights, x, y, **how), ()
    made = self.step(model, weights, x, y, memory[0], **how)
    return (made.batch.logits, made.batch.losses, made.gradients), (made.clip_norm,)

  def __call__(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    x: tf.Tensor,
    y: tf.Tensor,
    *,
    key: tf.Tensor,
    step: tf.Tensor | int,
    attack_eps: tf.Tensor | float | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor, Weights]:
    """Logits and losses of the batch that is trained on, and the noised mean gradient.

    Args:
      model: The model.
      weights: Where the gradient is taken.
      x: float32 [n, height, width, channels] in [0, 1].
      y: int32 [n].
      key: The client's key of the round, int64 [2]. The noise is keyed by it, the step and the
        tensor, so that no two of them share any.
      step: Number of the local step, int32.
      attack_eps: Perturbation size that a schedule has reached; None is the attribute's.
    """
    if self.adaptive is not None:
      raise UserError("a clipping norm that adapts is carried from step to step: call `step`")
    eps = self.attack_eps if attack_eps is None else attack_eps
    if math.isinf(self.clip_norm):
      if self.attack_steps:
        x = self._perturb(model, weights, x, y, eps, keys.fold(key, keys.ATTACK, step))
      return training_gradient(model, weights, x, y, keys.fold(key, keys.DROPOUT, step))
    batch = self._sum(model, weights, x, y, key, step, eps, self.clip_norm)
    return batch.logits, batch.losses, self._noised(batch, self.clip_norm, key, step)

  def step(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    x: tf.Tensor,
    y: tf.Tensor,
    clip_norm: tf.Tensor,
    *,
    key: tf.Tensor,
    step: tf.Tensor | int,
    attack_eps: tf.Tensor | float | None = None,
  ) -> Stepped:
    """A step at a clipping norm that adapts; `adaptive.initialize()` is the first."""
    eps = self.attack_eps if attack_eps is None else attack_eps
    batch = self._sum(model, weights, x, y, key, step, eps, clip_norm)
    gradients = self._noised(batch, clip_norm, key, step)
    if self.adaptive is not None:
      clip_norm = self.adaptive.next(
        clip_norm, batch.norms, keys.fold(key, keys.CLIP_NOISE, step), self.expected_units
      )
    return Stepped(batch, gradients, clip_norm)

  def _sum(self, model, weights, x, y, key, step, eps, clip_norm):
    perturb = None
    if self.attack_steps:

      def perturb(weights, x, y, key):
        return self._perturb(model, weights, x, y, eps, key)

    units = None
    if self.microbatch > 1:
      units = tf.random.stateless_uniform(
        tf.shape(y), keys.fold(key, keys.MICROBATCH, step), maxval=int(self.expected_units),
        dtype=tf.int32, alg=keys.ALG,
      )  # fmt: skip
    return clipped_sum(
      model,
      weights,
      x,
      y,
      clip_norm=clip_norm,
      dropout_key=keys.fold(key, keys.DROPOUT, step),
      attack_key=keys.fold(key, keys.ATTACK, step),
      perturb=perturb,
      units=units,
    )

  def _perturb(self, model, weights, x, y, eps, key):
    return pgd(
      lambda inputs: model.in_training.apply(weights, inputs),
      x,
      y,
      eps=eps,
      # 2.5 eps / steps reaches the border of the ball from anywhere in it (Madry et al.)
      step_size=tf.minimum(2.5 / self.attack_steps, 1.0) * eps,
      steps=self.attack_steps,
      random_start=self.attack_steps > 1,
      key=key,
    )

  def _noised(self, batch, clip_norm, key, step):
    gradients = batch.gradients
    if self.noise_multiplier:
      noise_key = keys.fold(key, keys.GRADIENT_NOISE, step)
      stddev = self.noise_multiplier * clip_norm
      gradients = tuple(
        g + stddev * tf.random.stateless_normal(g.shape, keys.fold(noise_key, i), alg=keys.ALG)
        for i, g in enumerate(gradients)
      )
    return tuple(g / self.expected_units for g in gradients)
