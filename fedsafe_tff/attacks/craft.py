"""From an `AttackSpec` to adversarial images, and the random control beside it."""

from typing import NamedTuple

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks import art_adapter
from fedsafe_tff.attacks.ensemble import Ensemble
from fedsafe_tff.attacks.objective import Models
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.attacks.spec import AttackSpec


class Crafted(NamedTuple):
  """What an attack made.

  Attributes:
    images: float32 [n, h, w, c] in [0, 1].
    queries: How often it asked the models about each image, int32 [n]; None for an attack that
      does not count.
  """

  images: tf.Tensor
  queries: tf.Tensor | None = None


def craft(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  spec: AttackSpec,
  key: tf.Tensor,
  *,
  eps: tf.Tensor | None = None,
  step_size: tf.Tensor | None = None,
) -> tf.Tensor:
  """Makes adversarial images; see `craft_counted`."""
  return craft_counted(models, x, y, spec, key, eps=eps, step_size=step_size).images


def craft_counted(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  spec: AttackSpec,
  key: tf.Tensor,
  *,
  eps: tf.Tensor | None = None,
  step_size: tf.Tensor | None = None,
  steps: tf.Tensor | None = None,
  access: str = "gradients",
) -> Crafted:
  """Makes adversarial images and counts the queries.

  Args:
    models: Images to logits, or an `Ensemble`.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: True labels, int32 [n]; the targets themselves where the spec says that they are given.
    spec: The attack. Those of the Adversarial Robustness Toolbox run outside of `tf.function` only.
    key: int64 [2], for whatever is drawn.
    eps: Overrides the spec's eps, so that one compiled function serves many sizes.
    step_size: Overrides the spec's step.
    steps: Overrides the spec's steps, for an attack with `any_steps`; int32.
    access: What an attack of the Adversarial Robustness Toolbox gets to see of the models, one of
      `registry.ACCESS`; where not gradients, it counts its queries.

  Returns:
    The images, shaped as `x`, and the queries.

  Raises:
    UserError: An attack of the Adversarial Robustness Toolbox that is missing, unknown or fails.
  """
  x = tf.convert_to_tensor(x)
  y = _labels(models, x, y, spec, key)
  if spec.from_art:
    return Crafted(*art_adapter.generate(models, x, y, spec, key, access=access))
  attack = ATTACKS[spec.name]
  arguments = spec.arguments()
  if "step_size" in attack.fields:
    arguments["step_size"] = spec.effective_step_size if step_size is None else step_size
  if steps is not None:
    arguments["steps"] = steps
  eps = spec.eps if eps is None else eps
  made = attack.function(models, x, y, eps=eps, key=key, **arguments)
  return Crafted(*made) if isinstance(made, tuple) else Crafted(made)


def _labels(models: Models, x: tf.Tensor, y: tf.Tensor, spec: AttackSpec, key) -> tf.Tensor:
  """The labels that the attack raises the loss of, or those that it aims at."""
  if spec.labels == "true" and spec.target in ("", "given"):
    return y
  if isinstance(models, Ensemble):
    logits = models.logits(x, keys.fold(key, keys.MODEL_DRAW))
  else:
    logits = models(x)
  if spec.labels == "predicted" and spec.target != "given":
    y = tf.argmax(logits, axis=1, output_type=tf.int32)
  if spec.target == "least_likely":
    return tf.argmin(logits, axis=1, output_type=tf.int32)
  if spec.target == "runner_up":
    others = logits - tf.one_hot(y, tf.shape(logits)[1], on_value=float("inf"), off_value=0.0)
    return tf.argmax(others, axis=1, output_type=tf.int32)
  return y


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
