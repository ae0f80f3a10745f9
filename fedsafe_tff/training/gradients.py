"""Which gradient a client's local step follows: a part that can be exchanged (Eq. 1, 5).

A gradient is a function (model, weights, x, y, key, step, attack_eps) -> (logits, losses,
gradients). It gets the client's key of the round and the number of the step, to derive keys of its
own, and the perturbation size that the schedule has reached.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.attacks.pgd import pgd, random_point
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training.robust_loss import ROBUST_LOSSES
from fedsafe_tff.training.steps import gaussian_noise, training_gradient


class LocalGradient(Protocol):
  """What local training asks of a gradient.

  One that has `attack_eps`, in pixels of [0, 1], gets that size where no schedule gives another.
  One with `private` true gets a key that comes of the noise's seed and not of the run's, and so do
  the client's batches: whoever could compute them could undo noise and sampling.
  One that has `carried` carries tensors from step to step, as `privacy.dp_sgd.gradient.DpSgd` does:
  `initialize` gives those of a round's first step.
  """

  def __call__(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    x: tf.Tensor,
    y: tf.Tensor,
    *,
    key: tf.Tensor,
    step: tf.Tensor,
    attack_eps: tf.Tensor | float,
  ) -> tuple[tf.Tensor, tf.Tensor, Weights]:
    """Logits and losses of the batch that is trained on, and a gradient per weight.

    Args:
      model: The model.
      weights: Where the gradient is taken.
      x: float32 [n, height, width, channels] in [0, 1].
      y: int32 [n].
      key: The client's key of the round.
      step: Number of the local step, int32, from 0.
      attack_eps: Perturbation size in pixels of [0, 1].
    """


def memory_of(gradient: LocalGradient) -> Any:
  """What a gradient's first step of a round is given; nothing for most."""
  return gradient.initialize() if hasattr(gradient, "carried") else ()


def follow(
  gradient: LocalGradient,
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  x: tf.Tensor,
  y: tf.Tensor,
  memory: Any,
  **how: Any,
) -> tuple[tuple[tf.Tensor, tf.Tensor, Weights], Any]:
  """What a gradient gives, and what it carries on to the next step."""
  if hasattr(gradient, "carried"):
    return gradient.carried(model, weights, x, y, memory, **how)
  return gradient(model, weights, x, y, **how), ()


@dataclasses.dataclass(frozen=True)
class Plain:
  """The gradient of the mean loss on the batch as it is (Eq. 1)."""

  def __call__(self, model, weights, x, y, *, key, step, attack_eps):  # noqa: ANN204
    """See `LocalGradient`."""
    del attack_eps
    return training_gradient(model, weights, x, y, keys.fold(key, keys.DROPOUT, step))


@dataclasses.dataclass(frozen=True)
class Adversarial:
  """The same on PGD examples made with the current weights (Eq. 5; Madry et al., 1706.06083).

  Attributes:
    attack_eps: Perturbation size in pixels of [0, 1].
    steps: PGD steps, from a random start where there is more than one; 1 is FGSM.
    attack_noise: Where a single step starts: at uniform noise of up to so many perturbation sizes
      on every pixel, with which the step stays, outside of the ball too (N-FGSM; de Jorge et al.,
      2202.01181). Steps that start at the image itself can teach a network to bend its loss there,
      so that it falls to PGD. 0 is FGSM.
    loss: "cross_entropy" of the examples alone, or a name of `robust_loss.ROBUST_LOSSES`, for which
      clean images enter as well.
    beta: Weight of robustness in such a loss.
    weight_sigma: Standard deviation of Gaussian noise on the weights at which examples are made
      and the gradient is taken, drawn anew in every step: the loss is made flat around the model,
      where noised copies will stand. 0 for none.
    weight_ascent: Adversarial weight perturbation (Wu et al., 2004.05884): the gradient is taken
      where each tensor has been moved up the loss by this share of its norm. It costs a gradient
      more, and waits until the perturbation size has reached `attack_eps`. 0 for none.

  Raises:
    UserError: The loss is unknown, or noise is asked for with several steps.
  """

  attack_eps: float = 0.03
  steps: int = 3
  attack_noise: float = 0.0
  loss: str = "cross_entropy"
  beta: float = 3.0
  weight_sigma: float = 0.0
  weight_ascent: float = 0.0

  def __post_init__(self):
    known = ("cross_entropy", *ROBUST_LOSSES)
    if self.loss not in known:
      raise UserError(
        f"the loss of adversarial training {self.loss!r} is unknown: choose {lazy.listed(known)}"
      )
    if self.attack_noise and self.steps > 1:
      raise UserError("the noise of adversarial training is that of a single step: leave it at 0")

  def __call__(self, model, weights, x, y, *, key, step, attack_eps):  # noqa: ANN204
    """See `LocalGradient`."""
    weights = tuple(weights)
    if self.weight_sigma:
      noise_key = keys.fold(key, keys.MODEL_DRAW, step)
      noise = gaussian_noise(weights, self.weight_sigma, noise_key)
      weights = tuple(w + n for w, n in zip(weights, noise))
    attack_eps = tf.convert_to_tensor(attack_eps, tf.float32)
    # Before the warm-up the ball is a point: the same bits, without a climb.
    made = tf.cond(
      attack_eps > 0, lambda: self._examples(model, weights, x, y, key, step, attack_eps), lambda: x
    )
    seed = keys.fold(key, keys.DROPOUT, step)
    if self.weight_ascent:
      gradients = self._gradient(model, weights, x, made, y, seed)[2]
      reached = tf.cast(attack_eps >= self.attack_eps * (1 - 1e-5), tf.float32)
      weights = ascended(weights, gradients, self.weight_ascent * reached)
    return self._gradient(model, weights, x, made, y, seed)

  def _examples(self, model, weights, x, y, key, step, attack_eps):
    """The adversarial images."""
    key = keys.fold(key, keys.ATTACK, step)
    if self.attack_noise:
      x = random_point(x, self.attack_noise * attack_eps, key)
    return pgd(
      lambda inputs: model.in_training.apply(weights, inputs),
      x,
      y,
      eps=attack_eps,
      # 2.5 eps / steps reaches the border of the ball from anywhere in it (Madry et al.)
      step_size=tf.minimum(2.5 / self.steps, 1.0) * attack_eps,
      steps=self.steps,
      random_start=self.steps > 1,
      key=key,
    )

  def _gradient(self, model, weights, x, made, y, seed):
    """Logits of the adversarial images, losses, and the gradient."""
    if self.loss == "cross_entropy":
      return training_gradient(model, weights, made, y, seed)
    robust = ROBUST_LOSSES[self.loss]

    def losses(logits, labels):
      clean, adversarial = tf.split(logits, 2)
      return robust(clean, adversarial, labels[: tf.shape(clean)[0]], model.losses, self.beta)

    both = tf.concat([x, made], 0)
    logits, values, gradients = training_gradient(
      model, weights, both, tf.tile(y, [2]), seed, losses=losses
    )
    return tf.split(logits, 2)[1], values, gradients


def ascended(
  weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor], share: tf.Tensor | float
) -> Weights:
  """Each tensor moved along its gradient by a share of its own norm."""
  return tuple(
    w + share * tf.norm(w) * g / tf.maximum(tf.norm(g), 1e-12) for w, g in zip(weights, gradients)
  )
