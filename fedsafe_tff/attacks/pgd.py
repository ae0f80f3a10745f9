"""Projected gradient descent in the L-infinity ball (Eq. 7; Madry et al., arXiv:1706.06083).

The order is step, project, clip, as in Foolbox. cleverhans and ART clip once more, before they
project; for eps up to 0.5 that changes no bit, since `1 - x` is exact in floating point where a
pixel can reach 1. So from the same start the images are equal to all three, bit for bit.
"""

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.gradient import LogitsFn, input_gradient


def pgd(
  logits_fn: LogitsFn,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
  steps: int,
  random_start: bool = False,
  key: tf.Tensor | None = None,
  restarts: int = 1,
) -> tf.Tensor:
  """Climbs the loss by `steps` signed steps, never leaving the ball or the pixel range.

  Args:
    logits_fn: Images to logits.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n].
    eps: Radius of the ball (the paper's bound eta), in pixels of [0, 1].
    step_size: Step alpha, in pixels of [0, 1].
    steps: Number of steps.
    random_start: Start at a uniform point of the ball instead of `x`.
    key: int64 [2], for the random starts.
    restarts: Repeats from new random starts; per image the highest loss wins.

  Returns:
    Adversarial images in [0, 1], shaped as `x`.

  Raises:
    ValueError: A random start without a key, or restarts without a random start.
  """
  if random_start and key is None:
    raise ValueError("a random start needs a key")
  if restarts > 1 and not random_start:
    raise ValueError(f"{restarts} restarts from the same point are all alike: use random_start")
  x = tf.convert_to_tensor(x)
  if restarts == 1:
    return _climb(logits_fn, x, y, eps, step_size, steps, key if random_start else None)

  def attempt(index, best, best_loss):
    made = _climb(logits_fn, x, y, eps, step_size, steps, keys.fold(key, index))
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits_fn(made))
    better = loss > best_loss
    best = tf.where(better[:, tf.newaxis, tf.newaxis, tf.newaxis], made, best)
    return index + 1, best, tf.where(better, loss, best_loss)

  lowest = tf.fill(tf.shape(y), tf.constant(-float("inf")))
  _, best, _ = tf.while_loop(
    lambda index, *_: index < restarts,
    attempt,
    (tf.constant(0), x, lowest),
    shape_invariants=(tf.TensorShape([]), x.shape, tf.TensorShape([None])),
    parallel_iterations=1,
  )
  return best


def random_point(x: tf.Tensor, eps: tf.Tensor | float, key: tf.Tensor) -> tf.Tensor:
  """A uniform point of the ball around each image, in [0, 1]."""
  offset = tf.random.stateless_uniform(tf.shape(x), key, -1.0, 1.0, alg=keys.ALG)
  return tf.clip_by_value(x + eps * offset, 0.0, 1.0)


def ascend(
  x: tf.Tensor,
  current: tf.Tensor,
  gradient: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
) -> tf.Tensor:
  """One step from `current`: along the gradient's signs, back into the ball and the pixel range."""
  current = current + step_size * tf.sign(gradient)
  current = x + tf.clip_by_value(current - x, -eps, eps)
  return tf.clip_by_value(current, 0.0, 1.0)


def _climb(logits_fn, x, y, eps, step_size, steps, key):
  start = x
  if key is not None:
    start = random_point(x, eps, key)

  def step(index, current):
    gradient = input_gradient(logits_fn, current, y)
    return index + 1, ascend(x, current, gradient, eps=eps, step_size=step_size)

  _, result = tf.while_loop(
    lambda index, _: index < steps,
    step,
    (tf.constant(0), start),
    shape_invariants=(tf.TensorShape([]), x.shape),
    parallel_iterations=1,
  )
  return result
