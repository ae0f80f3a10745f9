"""What iterated attacks share: the loop of steps, and restarts that keep the best images."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.norms import Norm
from fedsafe_tff.attacks.objective import Height, Objective, Record

# Names that `AttackSpec.keep` accepts: the last point of a climb, or the worst for the model of all
# that it came by (a point that fools before one that doesn't, then the higher loss).
KEEP = ("last", "worst")

# (index, point, state, key) to the height at the point or None, the next point, the next state.
Move = Callable[[tf.Tensor, tf.Tensor, Any, tf.Tensor], tuple[Height | None, tf.Tensor, Any]]


def climb(
  objective: Objective,
  start: tf.Tensor,
  move: Move,
  *,
  steps: int,
  state: Any = (),
  key: tf.Tensor | None = None,
  keep: str = "last",
) -> tf.Tensor:
  """Follows `move` from `start`.

  Args:
    objective: What is climbed.
    start: Images, float32 [n, h, w, c].
    move: A step. Where it has no height to tell and one is needed, the objective is asked.
    steps: How many.
    state: What `move` carries along, a nest of tensors.
    key: int64 [2]; every step gets its own. None for a move that draws nothing.
    keep: One of `KEEP`.

  Returns:
    Images, shaped as `start`.
  """
  record = Record.empty(start) if keep == "worst" else ()

  def key_of(index):
    return None if key is None else keys.fold(key, keys.ATTACK_STEP, index)

  def watched(record, point, height, index):
    if keep == "last":
      return record
    if height is None:
      height = objective.height(point, key_of(index))
    return record.updated(point, height, height.fools_more(record.height))

  def step(index, point, state, record):
    height, moved, state = move(index, point, state, key_of(index))
    return index + 1, moved, state, watched(record, point, height, index)

  carried = (tf.constant(0), start, state, record)
  _, point, _, record = tf.while_loop(
    lambda index, *_: index < steps,
    step,
    carried,
    shape_invariants=tf.nest.map_structure(lambda tensor: tensor.shape, carried),
    parallel_iterations=1,
  )
  return point if keep == "last" else watched(record, point, None, steps).images


def restarted(
  objective: Objective,
  x: tf.Tensor,
  attempt: Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor],
  *,
  norm: Norm,
  eps: tf.Tensor | float,
  random_start: bool,
  restarts: int,
  key: tf.Tensor | None,
  keep: str = "last",
) -> tf.Tensor:
  """Runs an attack from one or from several starts and keeps, per image, the best end.

  Args:
    objective: By which ends are compared: by the loss alone, or, where `keep` is "worst", first by
      whether they fool.
    x: Images, float32 [n, h, w, c].
    attempt: (start, key) to images.
    norm: Of the ball in which random starts lie.
    eps: Its radius.
    random_start: Start at a uniform point of the ball instead of `x`.
    restarts: How many starts.
    key: int64 [2]; None only where nothing is drawn.
    keep: One of `KEEP`.

  Raises:
    ValueError: A random start without a key, or restarts without a random start.
  """
  if random_start and key is None:
    raise ValueError("a random start needs a key")
  if restarts > 1 and not random_start:
    raise ValueError(f"{restarts} restarts from the same point are all alike: use random_start")

  def once(key):
    start = norm.random_point(x, eps, key) if random_start else x
    return attempt(start, key)

  if restarts == 1:
    return once(key)

  def again(index, record):
    own = keys.fold(key, index)
    made = once(own)
    height, best = objective.height(made, keys.fold(own, keys.MODEL_DRAW)), record.height
    better = height.fools_more(best) if keep == "worst" else height.loss > best.loss
    return index + 1, record.updated(made, height, better)

  record = Record.empty(x)
  _, record = tf.while_loop(
    lambda index, _: index < restarts,
    again,
    (tf.constant(0), record),
    shape_invariants=(tf.TensorShape([]), record.shapes()),
    parallel_iterations=1,
  )
  return record.images
