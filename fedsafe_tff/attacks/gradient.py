"""The gradient that every attack climbs."""

from collections.abc import Callable

import tensorflow as tf

from fedsafe_tff.apart import call_apart
from fedsafe_tff.attacks.loss import cross_entropy

LogitsFn = Callable[[tf.Tensor], tf.Tensor]
# (logits [n, classes], labels [n]) to losses [n].
LossFn = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def input_gradient(logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
  """dL/dx of the summed cross-entropy.

  The sum, not the mean: an image's gradient must not depend on its batch. Only `x` is watched, so
  that no gradient of the weights is computed.

  Args:
    logits_fn: float32 [n, h, w, c] in [0, 1] to logits [n, classes].
    x: Images, float32 [n, h, w, c].
    y: Labels, int32 [n].

  Returns:
    float32, shaped as `x`.
  """
  return logits_and_gradient(logits_fn, x, y)[1]


def logits_and_gradient(
  logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, loss: LossFn = cross_entropy
) -> tuple[tf.Tensor, tf.Tensor]:
  """`input_gradient` of any loss, with the logits that it passes on its way."""

  def forward_and_back(x, y):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(x)
      logits = logits_fn(x)
      total = tf.reduce_sum(loss(logits, y))
    # Logits that ignore the image have the gradient 0, not None.
    return logits, tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

  return call_apart(forward_and_back, tf.convert_to_tensor(x), y)
