"""The gradient that every attack climbs."""

from collections.abc import Callable

import tensorflow as tf

from fedsafe_tff.apart import call_apart

LogitsFn = Callable[[tf.Tensor], tf.Tensor]


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
  logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """`input_gradient`, with the logits that it passes on its way."""
  return call_apart(lambda x, y: _forward_and_back(logits_fn, x, y), tf.convert_to_tensor(x), y)


def _forward_and_back(logits_fn, x, y):
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tape.watch(x)
    logits = logits_fn(x)
    loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
  # Logits that ignore the image have the gradient 0, not None.
  return logits, tape.gradient(loss, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
