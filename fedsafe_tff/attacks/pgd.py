"""Projected gradient descent (Eq. 7; Madry et al., arXiv:1706.06083), in L-infinity and in L2.

The order is step, project, clip, as in Foolbox. cleverhans and ART clip once more, before they
project; for L-infinity and eps up to 0.5 that changes no bit, since `1 - x` is exact in floating
point where a pixel can reach 1. So from the same start the images are equal to all three, bit for
bit. In L2 they are equal to Foolbox's up to rounding, and to the others' as long as no pixel comes
to the border of its range.
"""

import tensorflow as tf

from fedsafe_tff.attacks.climb import climb, restarted
from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.objective import Models, Objective


def pgd(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
  steps: int,
  random_start: bool = False,
  key: tf.Tensor | None = None,
  restarts: int = 1,
  norm: str = "linf",
  loss: str = "cross_entropy",
  targeted: bool = False,
  keep: str = "last",
) -> tf.Tensor:
  """Climbs the loss step by step, never leaving the ball or the pixel range.

  Args:
    models: Images to logits, or an `Ensemble`.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels whose loss is raised, int32 [n]; targets, whose loss is lowered, if `targeted`.
    eps: Radius of the ball (the paper's bound eta), in pixels of [0, 1].
    step_size: Step alpha, in pixels of [0, 1]; the step's length in L2.
    steps: Number of steps.
    random_start: Start at a uniform point of the ball instead of `x`.
    key: int64 [2], for the random starts and for models that are drawn anew.
    restarts: Repeats from new random starts; per image the highest loss wins.
    norm: A name of `norms.NORMS`.
    loss: A name of `loss.LOSSES`.
    targeted: Whether `y` are targets.
    keep: "last", or "worst" for the point of the highest loss that the climb came by, points that
      fool before others; it costs one forward pass.

  Returns:
    Adversarial images in [0, 1], shaped as `x`.

  Raises:
    ValueError: A random start without a key, or restarts without a random start.
  """
  x = tf.convert_to_tensor(x)
  objective = Objective(models, y, loss, targeted)

  def move(index, point, state, key):
    del index
    slope = objective.slope(point, key)
    moved = ascend(x, point, slope.gradient, eps=eps, step_size=step_size, norm=norm)
    return slope.height, moved, state

  return restarted(
    objective,
    x,
    lambda start, key: climb(objective, start, move, steps=steps, key=key, keep=keep),
    norm=NORMS[norm],
    eps=eps,
    random_start=random_start,
    restarts=restarts,
    key=key,
    keep=keep,
  )


def random_point(x: tf.Tensor, eps: tf.Tensor | float, key: tf.Tensor) -> tf.Tensor:
  """A uniform point of the L-infinity ball around each image, in [0, 1]."""
  return NORMS["linf"].random_point(x, eps, key)


def ascend(
  x: tf.Tensor,
  current: tf.Tensor,
  gradient: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
  norm: str = "linf",
) -> tf.Tensor:
  """One step from `current`: along the gradient, back into the ball and into the pixel range."""
  moved = current + step_size * NORMS[norm].direction(gradient)
  return NORMS[norm].project(x, moved, eps)
