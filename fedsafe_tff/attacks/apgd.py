"""Auto-PGD, whose step follows from how the climb goes (Croce and Hein, arXiv:2003.01690, Alg. 1).

The step begins at 2 eps. At checkpoints, image by image, it is halved and the climb goes on from
the best point, if the loss rose in fewer than 3/4 of the steps since the last checkpoint, or if
neither the step nor the best loss has changed since.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.climb import restarted
from fedsafe_tff.attacks.norms import NORMS, Norm, per_image
from fedsafe_tff.attacks.objective import Height, Models, Objective, Record

_ALPHA = 0.75  # share of the new step, the rest is that of the last one
_RHO = 0.75  # share of steps that must rise


def apgd(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  steps: int,
  random_start: bool = False,
  key: tf.Tensor | None = None,
  restarts: int = 1,
  norm: str = "linf",
  loss: str = "cross_entropy",
  targeted: bool = False,
) -> tf.Tensor:
  """Climbs without a step size; `steps` gradients and one forward pass.

  Args:
    models: Images to logits, or an `Ensemble`.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n]; targets, whose loss is lowered, if `targeted`.
    eps: Radius of the ball, in pixels of [0, 1].
    steps: Number of steps; the paper's is 100.
    random_start: Start at a uniform point of the ball (the paper's) instead of `x`.
    key: int64 [2], for the random starts and for models that are drawn anew.
    restarts: Repeats from new random starts; the best image of all wins.
    norm: A name of `norms.NORMS`.
    loss: A name of `loss.LOSSES`; the paper's are "cross_entropy" and "dlr".
    targeted: Whether `y` are targets.

  Returns:
    Of all points that the climb came by the one of the highest loss, points that fool before
    others; in [0, 1], shaped as `x`.

  Raises:
    ValueError: A random start without a key, or restarts without a random start.
  """
  x = tf.convert_to_tensor(x)
  objective = Objective(models, y, loss, targeted)
  return restarted(
    objective,
    x,
    lambda start, key: _climb(objective, x, start, NORMS[norm], eps, steps, key),
    norm=NORMS[norm],
    eps=eps,
    random_start=random_start,
    restarts=restarts,
    key=key,
    keep="worst",
  )


def checkpoints(steps: int) -> list[int]:
  """The steps w_j = ceil(p_j steps) at which the step size may be halved."""
  shares = [0.0, 0.22]
  while shares[-1] < 1.0:
    shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
  # Rounded first: 0.57 * 100 is a little more than 57 in floating point.
  return sorted({math.ceil(round(share * steps, 6)) for share in shares[1:] if share < 1.0})


class _State(NamedTuple):
  point: tf.Tensor
  before: tf.Tensor  # the last point
  step_size: tf.Tensor  # [n]
  height: Height  # of the last point
  best: Record  # of the highest loss: where a halved climb goes on
  best_gradient: tf.Tensor
  worst: Record  # what is returned
  rises: tf.Tensor  # since the last checkpoint
  halved: tf.Tensor  # whether at the last checkpoint
  stands: tf.Tensor  # whether the best has not changed since


def _climb(objective: Objective, x, start, norm: Norm, eps, steps: int, key):
  marks = checkpoints(steps)
  since = [index - max([0, *(m for m in marks if m < index)]) for index in range(steps)]
  at_mark = tf.constant([index in marks for index in range(steps)])
  least_rises = tf.constant([_RHO * number for number in since])

  def key_of(index):
    return None if key is None else keys.fold(key, keys.ATTACK_STEP, index)

  def step(index, state: _State):
    slope = objective.slope(state.point, key_of(index))
    height = slope.height
    improved = height.above(state.best.height)
    best = state.best.updated(state.point, height, improved)
    best_gradient = tf.where(per_image(improved), slope.gradient, state.best_gradient)
    worst = state.worst.updated(state.point, height, height.fools_more(state.worst.height))
    rises = state.rises + tf.cast(height.above(state.height), tf.float32)
    stands = state.stands & ~improved

    mark = at_mark[index]
    halve = mark & ((rises < least_rises[index]) | (~state.halved & stands))
    step_size = tf.where(halve, state.step_size / 2.0, state.step_size)
    point = tf.where(per_image(halve), best.images, state.point)
    gradient = tf.where(per_image(halve), best_gradient, slope.gradient)

    onward = norm.project(x, point + per_image(step_size) * norm.direction(gradient), eps)
    alpha = tf.where(tf.equal(index, 0), 1.0, _ALPHA)
    moved = point + alpha * (onward - point) + (1.0 - alpha) * (point - state.before)
    return index + 1, _State(
      point=norm.project(x, moved, eps),
      before=point,
      step_size=step_size,
      height=height,
      best=best,
      best_gradient=best_gradient,
      worst=worst,
      rises=tf.where(mark, 0.0, rises),
      halved=tf.where(mark, halve, state.halved),
      stands=mark | stands,
    )

  count = tf.shape(x)[:1]
  nothing = Record.empty(start)
  first = _State(
    point=start,
    before=start,
    step_size=tf.fill(count, 2.0 * eps),
    height=Height(*[tf.fill(count, float("inf"))] * 2),  # the start is no rise
    best=nothing,
    best_gradient=tf.zeros_like(start),
    worst=nothing,
    rises=tf.zeros(count),
    halved=tf.ones(count, tf.bool),
    stands=tf.zeros(count, tf.bool),
  )
  _, last = tf.while_loop(
    lambda index, _: index < steps,
    step,
    (tf.constant(0), first),
    shape_invariants=tf.nest.map_structure(lambda tensor: tensor.shape, (tf.constant(0), first)),
    parallel_iterations=1,
  )
  height = objective.height(last.point, key_of(steps))
  return last.worst.updated(last.point, height, height.fools_more(last.worst.height)).images
