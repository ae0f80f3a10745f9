"""The server's images that adaptation uses, and adversarial examples of them (Eq. 6, 7)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.models.functional import FunctionalModel


def share_size(count: int, share: float) -> int:
  """How many of `count` images a share is: rounded, at least one."""
  return max(1, round(count * share))


def make_examples(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  settings: Any,
  key: tf.Tensor,
) -> tf.Tensor:
  """Adversarial examples of `images` (float32 in [0, 1]) for the model with these weights."""

  def logits_fn(inputs):
    return model.in_training.apply(weights, inputs)

  offered = {
    "steps": settings.steps,
    "step_size": settings.step_size or settings.eps / settings.steps,
    "random_start": settings.random_start,
    "key": key,
  }
  attack = ATTACKS[settings.attack].function
  taken = lazy.taken(attack, offered)
  made = attack(logits_fn, images, labels, eps=settings.eps, **taken)
  return made[0] if isinstance(made, tuple) else made  # less the queries


def used_images(
  images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
  """The server's images that are used, float32 in [0, 1], with their labels.

  The share is the head of one fixed order, so that a larger share contains a smaller one.
  """
  order = tf.random.experimental.stateless_shuffle(
    tf.range(labels.shape[0]), keys.fold(key, keys.SHUFFLE), alg=keys.ALG
  )[: share_size(int(labels.shape[0]), share)]
  clean = tf.gather(images, order)
  if clean.dtype == tf.uint8:
    clean = tf.cast(clean, tf.float32) / 255.0
  return clean, tf.gather(labels, order)


def make_all(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  settings: Any,
  key: tf.Tensor,
) -> tf.Tensor:
  """`make_examples` batch by batch into one tensor, to bound the memory of the gradients."""
  batch = settings.batch_size
  batches = -(-int(labels.shape[0]) // batch)

  def craft(index, made):
    rows = slice(index * batch, (index + 1) * batch)
    own = keys.fold(key, index)
    examples = make_examples(model, weights, images[rows], labels[rows], settings, own)
    return index + 1, made.write(index, examples)

  made = tf.TensorArray(
    tf.float32, batches, element_shape=[None, *images.shape[1:]], infer_shape=False
  )
  _, made = tf.while_loop(
    lambda i, _: i < batches, craft, (tf.constant(0), made), parallel_iterations=1
  )
  return tf.ensure_shape(made.concat(), images.shape)
