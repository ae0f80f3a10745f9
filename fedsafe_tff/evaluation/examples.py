"""Images for Figure 1: original, perturbation, adversarial example."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.accuracy import to_float
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

  def attack(weights, x, y, key):
    made = craft(lambda inputs: model.apply(weights, inputs), x, y, spec, key)
    return made, tf.nn.softmax(model.apply(weights, x)), tf.nn.softmax(model.apply(weights, made))

  # One graph per attack: TensorFlow warns of a `tf.function` that every call traces anew.
  compiled = model.compiled(
    ("triptych", spec),
    attack,
    [
      model.weight_specs(),
      tf.TensorSpec([None, *model.input_shape], tf.float32),
      tf.TensorSpec([None], tf.int32),
      keys.SPEC,
    ],
  )
  x = to_float(images)
  made = compiled(
    tuple(tf.convert_to_tensor(weight) for weight in weights),
    x,
    tf.constant(labels, tf.int32),
    key,
  )
  adversarial, before, after = (t.numpy() for t in made)
  before_label, after_label = before.argmax(1), after.argmax(1)
  rank = 2 * (before_label == labels) + (before_label != after_label)
  chosen = np.argsort(-rank, kind="stable")[:count]
  original = x.numpy()[chosen]
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
