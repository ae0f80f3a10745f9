"""The fast gradient sign method (Eq. 6; Goodfellow et al., arXiv:1412.6572)."""

import tensorflow as tf

from fedsafe_tff.attacks.gradient import LogitsFn, input_gradient


def fgsm(logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, eps: tf.Tensor | float) -> tf.Tensor:
  """x_adv = clip(x + eps sign(dL/dx)), with sign(0) = 0.

  Args:
    logits_fn: Images to logits.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n].
    eps: Size of the perturbation, in pixels of [0, 1].

  Returns:
    Adversarial images in [0, 1], shaped as `x`.
  """
  x = tf.convert_to_tensor(x)
  return tf.clip_by_value(x + eps * tf.sign(input_gradient(logits_fn, x, y)), 0.0, 1.0)
