"""The Square attack, a random search that asks only for scores (Andriushchenko et al.,
arXiv:1912.00049, Alg. 2; L-infinity).

Stripes of +eps and -eps first, then squares of them at random places, smaller and smaller; a change
stays if it raises the loss. An image that fools is asked about no more, so that every image has its
own count of queries.
"""

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.norms import per_image
from fedsafe_tff.attacks.objective import Models, Objective

# Of 10000 queries: after which the share of pixels that change is halved.
_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  steps: int,
  key: tf.Tensor,
  loss: str = "margin",
  targeted: bool = False,
  share: float = 0.8,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Searches with at most `steps` queries an image.

  Args:
    models: Images to logits, or an `Ensemble`; only asked, never differentiated.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n]; targets, whose loss is lowered, if `targeted`.
    eps: Radius of the L-infinity ball, in pixels of [0, 1].
    steps: Most queries per image; the first asks for the image itself, the second for stripes.
    key: int64 [2].
    loss: A name of `loss.LOSSES`.
    targeted: Whether `y` are targets.
    share: Of the pixels that the first squares cover (the paper's p; AutoAttack's value).

  Returns:
    Adversarial images in [0, 1], shaped as `x`, and how many queries each took, int32 [n].
  """
  x = tf.convert_to_tensor(x)
  objective = Objective(models, y, loss, targeted)
  sides = tf.constant(_sides(steps, share, x.shape[1], x.shape[2]))
  height = objective.height(x, _key(key, 0))
  queries = tf.ones(tf.shape(x)[:1], tf.int32)

  def step(index, best, losses, fooled, queries):
    rows = tf.where(~fooled)[:, 0]
    of = objective.rows(rows)
    origin, current, own = tf.gather(x, rows), tf.gather(best, rows), _key(key, index)
    tried = tf.cond(
      tf.equal(index, 1),
      lambda: _stripes(origin, eps, own),
      lambda: _with_squares(origin, current, eps, sides[index], own),
    )
    height = of.height(tried, own)
    fools = height.margin > 0
    stays = fools | (height.loss > tf.gather(losses, rows))
    at = rows[:, tf.newaxis]
    kept = tf.where(per_image(stays), tried, current)
    best = tf.ensure_shape(tf.tensor_scatter_nd_update(best, at, kept), x.shape)
    higher = tf.where(stays, height.loss, tf.gather(losses, rows))
    losses = tf.tensor_scatter_nd_update(losses, at, higher)
    fooled = tf.tensor_scatter_nd_update(fooled, at, fools)
    queries = tf.tensor_scatter_nd_add(queries, at, tf.ones_like(rows, tf.int32))
    return index + 1, best, losses, fooled, queries

  some = tf.TensorShape([None])
  _, best, _, _, queries = tf.while_loop(
    lambda index, best, losses, fooled, queries: (index < steps) & ~tf.reduce_all(fooled),
    step,
    (tf.constant(1), x, height.loss, height.margin > 0, queries),
    shape_invariants=(tf.TensorShape([]), x.shape, some, some, some),
    parallel_iterations=1,
  )
  return best, queries


def _key(key, index):
  return keys.fold(key, keys.ATTACK_STEP, index)


def _sides(steps: int, share: float, height: int, width: int) -> np.ndarray:
  """Side of the squares of each query, int32 [steps]."""
  passed = np.arange(steps) * 10_000 / max(steps, 1)
  shares = share / 2.0 ** np.searchsorted(_HALVED_AT, passed, side="left")
  sides = np.rint(np.sqrt(shares * height * width)).astype(np.int32)
  return np.clip(sides, 1, min(height, width))


def _signs(shape, key):
  return tf.where(tf.random.stateless_uniform(shape, key, alg=keys.ALG) < 0.5, 1.0, -1.0)


def _stripes(origin, eps, key):
  """Vertical stripes of a pixel's width, with a sign of their own in every channel."""
  shape = tf.shape(origin)
  signs = _signs(tf.stack([shape[0], 1, shape[2], shape[3]]), keys.fold(key, 0))
  return tf.clip_by_value(origin + eps * signs, 0.0, 1.0)


def _with_squares(origin, current, eps, side, key):
  """A square in each image, with one sign per channel, in the place of what was there."""
  shape = tf.shape(origin)

  def inside(number, length):
    """Whether each of `length` lines belongs to the square, bool [n, length]."""
    first = tf.random.stateless_uniform(
      shape[:1], keys.fold(key, number), 0, length - side + 1, tf.int32, alg=keys.ALG
    )
    lines = tf.range(length) - first[:, tf.newaxis]
    return (lines >= 0) & (lines < side)

  rows, columns = inside(1, shape[1]), inside(2, shape[2])
  within = (rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :])[..., tf.newaxis]
  change = eps * _signs(tf.stack([shape[0], 1, 1, shape[3]]), keys.fold(key, 3))
  made, opposite = (
    tf.where(within, tf.clip_by_value(origin + sign * change, 0.0, 1.0), current)
    for sign in (1.0, -1.0)
  )
  # A query that changes nothing would be wasted.
  same = tf.reduce_all(tf.equal(made, current), axis=[1, 2, 3])
  return tf.where(per_image(same), opposite, made)
