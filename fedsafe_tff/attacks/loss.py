"""What an attack raises: losses of logits against labels, image by image.

A loss is raised for the true label and lowered for a target. All take logits, float32 [n, classes],
and labels, int32 [n], and return float32 [n].
"""

from collections.abc import Callable

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """-log p(label), in nats."""
  return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def margin(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """The best other logit less the label's: above 0 where the label is not predicted.

  Carlini and Wagner's f (arXiv:1608.04644, Sec. V), with the sign turned and without its floor.
  Unlike cross-entropy it does not go flat where the model is sure.
  """
  of_label = tf.one_hot(labels, tf.shape(logits)[-1], on_value=True, off_value=False, dtype=tf.bool)
  lowest = tf.constant(-float("inf"), logits.dtype)
  other = tf.reduce_max(tf.where(of_label, lowest, logits), axis=-1)
  return other - tf.reduce_sum(tf.where(of_label, logits, tf.zeros_like(logits)), axis=-1)


def dlr(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Difference of logits ratio (Croce and Hein, arXiv:2003.01690, Eq. 6): margin / (z1 - z3).

  It changes neither when a number is added to all logits nor when all are multiplied by one. Of two
  logits no function with a gradient does both, since what is left of them is a sign. The form for
  two classes is therefore the margin: the direction of its gradient does not change either.

  Raises:
    ValueError: The number of classes is not known when the function is traced.
  """
  classes = logits.shape[-1]
  if classes is None:
    raise ValueError("the DLR loss needs logits of a known number of classes")
  if classes == 2:
    return margin(logits, labels)
  top = tf.math.top_k(logits, 3).values
  return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """DLR towards targets (Croce and Hein, Eq. 7): margin / (z1 - (z3 + z4) / 2).

  Its numerator there is the true label's logit less the target's: the best other logit's as long as
  the image is classified right. `dlr` itself is flat where the target ranks third. It needs four
  classes; with fewer it is the margin.

  Raises:
    ValueError: As in `dlr`.
  """
  classes = logits.shape[-1]
  if classes is None:
    raise ValueError("the DLR loss needs logits of a known number of classes")
  if classes < 4:
    return margin(logits, labels)
  top = tf.math.top_k(logits, 4).values
  return margin(logits, labels) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


# One entry per name that `AttackSpec.loss` accepts.
LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
  "cross_entropy": cross_entropy,
  "margin": margin,
  "dlr": dlr,
}
# Those that are others towards a target.
TARGETED = {"dlr": targeted_dlr}
