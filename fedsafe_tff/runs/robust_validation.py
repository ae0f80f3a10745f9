"""Accuracy on attacked validation images, round by round: whether robustness is being overfitted.

A robust model goes on to learn its training images' perturbations long after others' are any better
withstood (Rice et al., arXiv:2002.11569). The attack is a short one, as it is made in every round:
it compares rounds and judges no defence.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared

_STEPS = 5


def size_of(config: Config) -> float:
  """Size of the perturbation that the global model is trained against; 0 for none.

  In pixels of [0, 1]. Healed copies leave the global model as it is.
  """
  if config.trains_robustly and config.local_attack_eps:
    return config.local_attack_eps
  return config.adaptation_eps if config.adapts else 0.0


class RobustValidation:
  """The attack on the validation images; it has the same random starts in every round."""

  def __init__(self, config: Config, prepared: Prepared, scorer: Scorer):
    """Prepares the attack; the run must have a `size_of` above 0."""
    eps = size_of(config)
    self._spec = AttackSpec(
      "pgd", eps, steps=_STEPS, step_size=eps / 3, random_start=True, loss="margin", keep="worst"
    )
    images, self._labels = prepared.images("validation")
    key = keys.fold(evaluation_key(config), keys.VALIDATION)
    size = config.evaluation_batch_size
    self._crafter = Crafter(prepared.model, images, self._labels, key=key, batch_size=size)
    self._scorer = scorer

  def accuracy(self, weights: Sequence[np.ndarray]) -> float:
    """Share of the images, attacked through these weights, whose true label they predict."""
    held = Holding((tuple(tf.convert_to_tensor(w) for w in weights),))
    attacked, _ = self._crafter.craft(held, self._spec)
    return float((self._scorer.predict(weights, attacked) == self._labels).mean())
