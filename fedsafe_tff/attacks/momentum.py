"""Sign methods with momentum, whose images also fool models that the attacker lacks.

* MI-FGSM: momentum (Dong et al., arXiv:1710.06081).
* NI-FGSM: the gradient where the momentum leads (Lin et al., arXiv:1908.06281, Sec. 3.2).
* DI-FGSM: the gradient of a resized and padded image (Xie et al., arXiv:1803.06978).
* VMI-FGSM: a gradient whose variance around the last point is taken off (Wang and He,
  arXiv:2103.15571).

All take the arguments of `pgd`. The momentum is g <- decay g + gradient / mean |gradient|, as in
the authors' programs (their papers have the sum for the mean), and the step its sign (in L2: its
direction).
"""

from collections.abc import Callable

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.climb import climb, restarted
from fedsafe_tff.attacks.norms import NORMS, per_image
from fedsafe_tff.attacks.objective import Models, Objective
from fedsafe_tff.attacks.pgd import ascend


def mi_fgsm(
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
  decay: float = 1.0,
) -> tf.Tensor:
  """PGD along a momentum that decays by `decay` a step; see `pgd` for the other arguments."""
  settings = (eps, step_size, steps, random_start, key, restarts, norm, keep, decay)
  return _attack(Objective(models, y, loss, targeted), x, *settings)


def ni_fgsm(
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
  decay: float = 1.0,
) -> tf.Tensor:
  """MI-FGSM with the gradient where the momentum leads, x + decay step_size g (Nesterov's)."""
  settings = (eps, step_size, steps, random_start, key, restarts, norm, keep, decay)

  def look(point, momentum):
    # In L2 the step is a length: the momentum's own would be that of as many steps as pixels.
    ahead = momentum if norm == "linf" else NORMS[norm].direction(momentum)
    return point + decay * step_size * ahead

  return _attack(Objective(models, y, loss, targeted), x, *settings, look=look)


def di_fgsm(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
  steps: int,
  key: tf.Tensor,
  random_start: bool = False,
  restarts: int = 1,
  norm: str = "linf",
  loss: str = "cross_entropy",
  targeted: bool = False,
  keep: str = "last",
  decay: float = 1.0,
  probability: float = 0.7,
  smallest: float = 0.9,
) -> tf.Tensor:
  """MI-FGSM on images that are, with `probability`, shrunk to a share of at least `smallest`.

  The rest is padded with zeros, at random; a `decay` of 0 is the paper's attack without momentum.
  """

  def view(images, key):
    return _shrunk(images, key, probability, smallest)

  settings = (eps, step_size, steps, random_start, key, restarts, norm, keep, decay)
  return _attack(Objective(models, y, loss, targeted, view), x, *settings)


def vmi_fgsm(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  *,
  eps: tf.Tensor | float,
  step_size: tf.Tensor | float,
  steps: int,
  key: tf.Tensor,
  random_start: bool = False,
  restarts: int = 1,
  norm: str = "linf",
  loss: str = "cross_entropy",
  targeted: bool = False,
  keep: str = "last",
  decay: float = 1.0,
  samples: int = 20,
  radius: float = 1.5,
) -> tf.Tensor:
  """MI-FGSM with the variance of the last step's gradient added to the gradient.

  The variance is the mean gradient at `samples` points within `radius` * eps of the last point,
  less the gradient there: a step costs 1 + `samples` gradients.
  """
  settings = (eps, step_size, steps, random_start, key, restarts, norm, keep, decay)
  return _attack(
    Objective(models, y, loss, targeted),
    x,
    *settings,
    neighbours=(samples, radius * eps),
  )


def _attack(
  objective: Objective,
  x: tf.Tensor,
  eps,
  step_size,
  steps: int,
  random_start: bool,
  key,
  restarts: int,
  norm: str,
  keep: str,
  decay: float,
  look: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
  neighbours: tuple[int, tf.Tensor | float] | None = None,
) -> tf.Tensor:
  x = tf.convert_to_tensor(x)
  ball = NORMS[norm]

  def move(index, point, state, key):
    del index
    momentum, variance = state
    at = point if look is None else look(point, momentum)
    slope = objective.slope(at, key)
    gradient = slope.gradient
    momentum = decay * momentum + _of_size_1(gradient + variance)
    if neighbours is not None:
      variance = _mean_around(objective, ball, at, *neighbours, key) - gradient
    moved = ascend(x, point, momentum, eps=eps, step_size=step_size, norm=norm)
    # The height is the point's own only where the models were shown the point itself.
    height = slope.height if look is None and objective.view is None else None
    return height, moved, (momentum, variance)

  still = (tf.zeros_like(x), tf.zeros_like(x) if neighbours else tf.zeros([]))
  return restarted(
    objective,
    x,
    lambda start, key: climb(objective, start, move, steps=steps, state=still, key=key, keep=keep),
    norm=ball,
    eps=eps,
    random_start=random_start,
    restarts=restarts,
    key=key,
    keep=keep,
  )


def _of_size_1(gradient: tf.Tensor) -> tf.Tensor:
  sizes = tf.reduce_mean(tf.abs(gradient), axis=[1, 2, 3])
  return tf.math.divide_no_nan(gradient, per_image(sizes))


def _mean_around(objective, ball, point, samples, radius, key):
  """The mean gradient at random points around `point`."""

  def add(index, total):
    own = keys.fold(key, keys.INPUT_DRAW, index)
    near = point + ball.random_change(tf.shape(point), radius, own)
    return index + 1, total + objective.slope(near, own).gradient

  _, total = tf.while_loop(
    lambda index, _: index < samples,
    add,
    (tf.constant(0), tf.zeros_like(point)),
    shape_invariants=(tf.TensorShape([]), point.shape),
    parallel_iterations=2,  # they share nothing but the sum
  )
  return total / samples


def _shrunk(images: tf.Tensor, key: tf.Tensor, probability: float, smallest: float) -> tf.Tensor:
  """Shrinks images towards random places and pads them with zeros, each with `probability`."""
  count = tf.shape(images)[0]

  def uniform(number, low=0.0, high=1.0):
    own = keys.fold(key, keys.INPUT_DRAW, number)
    return tf.random.stateless_uniform([count], own, low, high, alg=keys.ALG)

  # A box larger than the image, whose outside is filled with zeros, is a shrunk and padded image.
  side = 1.0 / uniform(0, smallest, 1.0)
  top, left = -uniform(1) * (side - 1.0), -uniform(2) * (side - 1.0)
  boxes = tf.stack([top, left, top + side, left + side], axis=1)
  size = tf.shape(images)[1:3]
  shrunk = tf.image.crop_and_resize(images, boxes, tf.range(count), size)
  shrunk = tf.ensure_shape(shrunk, images.shape)
  return tf.where(per_image(uniform(3) < probability), shrunk, images)
