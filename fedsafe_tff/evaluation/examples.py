"""Images for Figure 1: original, perturbation, adversarial example."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.accuracy import Scorer, to_float
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.models.functional import FunctionalModel


def triptych(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: np.ndarray,
  labels: np.ndarray,
  spec: AttackSpec,
  key: tf.Tensor,
  count: int = 3,
) -> dict[str, np.ndarray]:
  """Attacks images and picks `count`: correctly classified and fooled ones first.

  Args:
    model: The model.
    weights: The adversary's copy.
    images: uint8 [n, h, w, c].
    labels: int32 [n].
    spec: The attack.
    key: int64 [2].
    count: How many images to return.

  Returns:
    `original`, `perturbation` and `adversarial`, float32 [count, h, w, c], in [0, 1] (the
    perturbation signed); `label`, `predicted_before` and `predicted_after`, int32 [count];
    `probability_before` and `probability_after`, the predicted class's, float32 [count].
  """
  # The graphs of the evaluation: to trace the attack anew would take longer than it runs.
  crafter = Crafter(model, images, labels, key=key)
  adversarial, _ = crafter.craft(Holding((tuple(weights),)), spec)
  scorer, shown = Scorer(model), to_float(images).numpy()
  before = tf.nn.softmax(scorer.logits(weights, shown)).numpy()
  after = tf.nn.softmax(scorer.logits(weights, adversarial)).numpy()
  before_label, after_label = before.argmax(1), after.argmax(1)
  rank = 2 * (before_label == labels) + (before_label != after_label)
  chosen = np.argsort(-rank, kind="stable")[:count]
  original = shown[chosen]
  return {
    "original": original,
    "perturbation": adversarial[chosen] - original,
    "adversarial": adversarial[chosen],
    "label": np.asarray(labels)[chosen].astype(np.int32),
    "predicted_before": before_label[chosen].astype(np.int32),
    "predicted_after": after_label[chosen].astype(np.int32),
    "probability_before": before.max(1)[chosen].astype(np.float32),
    "probability_after": after.max(1)[chosen].astype(np.float32),
  }
