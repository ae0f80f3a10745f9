"""Which gradient a client's local step follows: a part that can be exchanged (Eq. 1, 5).

A gradient is a function (model, weights, x, y, key, step, attack_eps) -> (logits, losses,
gradients). It gets the client's key of the round and the number of the step, to derive keys of its
own, and the perturbation size that the schedule has reached.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training.steps import training_gradient


class LocalGradient(Protocol):
  """What local training asks of a gradient.

  One that has `attack_eps`, in pixels of [0, 1], gets that size where no schedule gives another.
  One with `private` true gets a key that comes of the noise's seed and not of the run's, and so do
  the client's batches: whoever could compute them could undo noise and sampling.
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
  """

  attack_eps: float = 0.03
  steps: int = 3

  def __call__(self, model, weights, x, y, *, key, step, attack_eps):  # noqa: ANN204
    """See `LocalGradient`."""
    x = pgd(
      lambda inputs: model.apply(weights, inputs),
      x,
      y,
      eps=attack_eps,
      # 2.5 eps / steps reaches the border of the ball from anywhere in it (Madry et al.)
      step_size=tf.minimum(2.5 / self.steps, 1.0) * attack_eps,
      steps=self.steps,
      random_start=self.steps > 1,
      key=keys.fold(key, keys.ATTACK, step),
    )
    return training_gradient(model, weights, x, y, keys.fold(key, keys.DROPOUT, step))
