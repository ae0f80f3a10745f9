"""Losses of adversarial training: of images and of what an attack made of them.

A loss takes logits of the clean and of the adversarial images, float32 [n, classes], labels, int32
[n], the model's own loss and the weight beta of robustness; it returns float32 [n].
"""

from collections.abc import Callable

import tensorflow as tf

# (logits, labels) to losses, float32 [n]: a model's own.
Losses = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def trades(
  clean: tf.Tensor, adversarial: tf.Tensor, labels: tf.Tensor, losses: Losses, beta: float
) -> tf.Tensor:
  """The model's loss on clean images + beta KL(clean || adversarial) (Zhang et al., 1901.08573)."""
  return losses(clean, labels) + beta * _kl(clean, adversarial)


def mart(
  clean: tf.Tensor, adversarial: tf.Tensor, labels: tf.Tensor, losses: Losses, beta: float
) -> tf.Tensor:
  """Boosted cross-entropy + beta KL (1 - p(label)) (Wang et al., ICLR 2020, Eq. 11).

  Boosted: -log p(label) - log(1 - the highest other p), both of the adversarial image.
  """
  probabilities = tf.nn.softmax(adversarial)
  of_label = tf.one_hot(labels, tf.shape(clean)[1], on_value=True, off_value=False, dtype=tf.bool)
  other = tf.reduce_max(tf.where(of_label, 0.0, probabilities), axis=1)
  boosted = losses(adversarial, labels) - tf.math.log(1.0001 - other)
  sure = tf.reduce_sum(tf.where(of_label, tf.nn.softmax(clean), 0.0), axis=1)
  return boosted + beta * _kl(clean, adversarial) * (1.0001 - sure)


def _kl(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
  """KL(softmax(first) || softmax(second)) row by row; both sides carry a gradient."""
  log_first, log_second = tf.nn.log_softmax(first), tf.nn.log_softmax(second)
  return tf.reduce_sum(tf.exp(log_first) * (log_first - log_second), axis=1)


# Of adversarial training that needs the clean images too.
ROBUST_LOSSES: dict[str, Callable[..., tf.Tensor]] = {"trades": trades, "mart": mart}
