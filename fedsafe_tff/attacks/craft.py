"""From an `AttackSpec` to adversarial images, and the random control beside it."""

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.gradient import LogitsFn
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.attacks.spec import AttackSpec


def craft(
  logits_fn: LogitsFn,
  x: tf.Tensor,
  y: tf.Tensor,
  spec: AttackSpec,
  key: tf.Tensor,
  *,
  eps: tf.Tensor | None = None,
  step_size: tf.Tensor | None = None,
) -> tf.Tensor:
  """Makes adversarial images.

  Args:
    logits_fn: Images to logits.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: True labels, int32 [n].
    spec: The attack.
    key: int64 [2], for random starts.
    eps: Overrides the spec's eps, so that one compiled function serves many sizes.
    step_size: Overrides the spec's step.

  Returns:
    Images in [0, 1], shaped as `x`.
  """
  x = tf.convert_to_tensor(x)
  eps = spec.eps if eps is None else eps
  step_size = spec.effective_step_size if step_size is None else step_size
  if spec.labels == "predicted":
    y = tf.argmax(logits_fn(x), axis=1, output_type=tf.int32)
  return _ATTACKS[spec.name](logits_fn, x, y, spec, key, eps, step_size)


def _fgsm(logits_fn, x, y, spec, key, eps, step_size):
  del spec, key, step_size
  return fgsm(logits_fn, x, y, eps=eps)


def _pgd(logits_fn, x, y, spec, key, eps, step_size):
  return pgd(
    logits_fn,
    x,
    y,
    eps=eps,
    step_size=step_size,
    steps=spec.steps,
    random_start=spec.random_start,
    key=key,
    restarts=spec.restarts,
  )


# One entry per name that `AttackSpec` accepts.
_ATTACKS = {"fgsm": _fgsm, "pgd": _pgd}


def random_noise(x: tf.Tensor, key: tf.Tensor, *, eps: tf.Tensor | float) -> tf.Tensor:
  """Moves every pixel by +eps or -eps at random: the same size as FGSM, without its direction.

  Args:
    x: Images, float32 [n, h, w, c] in [0, 1].
    key: int64 [2].
    eps: Size, in pixels of [0, 1].

  Returns:
    Images in [0, 1], shaped as `x`.
  """
  up = tf.random.stateless_uniform(tf.shape(x), key, alg=keys.ALG) < 0.5
  return tf.clip_by_value(x + tf.where(up, eps, -eps), 0.0, 1.0)
