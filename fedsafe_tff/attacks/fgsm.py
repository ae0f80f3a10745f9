"""The fast gradient sign method (Eq. 6; Goodfellow et al., arXiv:1412.6572)."""

import tensorflow as tf

from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.objective import Models, Objective


def fgsm(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  key: tf.Tensor | None = None,
  norm: str = "linf",
  loss: str = "cross_entropy",
  targeted: bool = False,
) -> tf.Tensor:
  """x_adv = clip(x + eps sign(dL/dx)), with sign(0) = 0.

  Args:
    models: Images to logits, or an `Ensemble`.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n]; targets, whose loss is lowered, if `targeted`.
    eps: Size of the perturbation, in pixels of [0, 1].
    key: int64 [2], for models that are drawn anew.
    norm: "linf", or "l2" for a step of Euclidean length eps along the gradient.
    loss: A name of `loss.LOSSES`.
    targeted: Whether `y` are targets.

  Returns:
    Adversarial images in [0, 1], shaped as `x`.
  """
  x = tf.convert_to_tensor(x)
  gradient = Objective(models, y, loss, targeted).slope(x, key).gradient
  return tf.clip_by_value(x + eps * NORMS[norm].direction(gradient), 0.0, 1.0)
