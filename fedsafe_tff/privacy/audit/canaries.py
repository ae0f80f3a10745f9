"""Canaries for DP-SGD, and an attacker who sees every noised gradient: whom accounting presumes.

A canary lights a pixel of its own, so that the gradients of the first layer's weights tell canaries
apart. The attacker explains what every step releases by the canaries' own gradients (regularised
least squares), and looks at each one's coefficient: its mean over the steps (was it in?) and how
much it varies (the same noise in each step cancels, and what is left is a canary that sampling
takes in and out).
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.dp_sgd.per_example import clipped_sum
from fedsafe_tff.privacy.dp_sgd.sampling import poisson_rows

# (weights, x, y, key, step) -> noised gradient, one tensor per weight.
_RIDGE = 0.1  # of the squared length of a canary's gradient
PrivateGradient = Callable[..., Sequence[tf.Tensor]]


def pixel_canaries(
  input_shape: tuple[int, int, int], count: int, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Black images with one white pixel each, and labels at random.

  Args:
    input_shape: (height, width, channels); there are no more canaries than pixels.
    count: How many.
    classes: Labels run from 0 to `classes` - 1.
    seed: Of places and labels.

  Returns:
    float32 [count, height, width, channels] in [0, 1] and int32 [count].
  """
  from fedsafe_tff.data.seeds import generator
  from fedsafe_tff.errors import UserError

  pixels = int(np.prod(input_shape))
  if count > pixels:
    raise UserError(f"{count} canaries need {count} pixels, but images have {pixels}")
  rng = generator(seed, "pixel canaries")
  images = np.zeros((count, pixels), np.float32)
  images[np.arange(count), rng.permutation(pixels)[:count]] = 1.0
  labels = rng.integers(0, classes, count).astype(np.int32)
  return images.reshape(count, *input_shape), labels


def mislabelled(images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
  """Labels moved by one class: canaries that a model has to learn by heart, int32 [n]."""
  del images
  return ((np.asarray(labels) + 1) % classes).astype(np.int32)


def watched_training(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  x: tf.Tensor,
  y: tf.Tensor,
  canaries: tuple[np.ndarray, np.ndarray],
  included: np.ndarray,
  gradient: PrivateGradient,
  *,
  rate: float,
  steps: int,
  learning_rate: float,
  clip_norm: float,
  key: tf.Tensor,
) -> dict[str, np.ndarray]:
  """Trains by SGD on records and canaries; returns the attacker's scores.

  Args:
    model: The model.
    weights: Where training starts.
    x: Other records, float32 [n, height, width, channels] in [0, 1]; n may be 0.
    y: int32 [n].
    canaries: Images and labels, as `pixel_canaries` makes them.
    included: Whether each canary is in the data, bool [m].
    gradient: The mechanism under audit: `DpSgd`, called with keywords `key` and `step`.
    rate: Poisson sampling rate.
    steps: Number of steps.
    learning_rate: Of SGD.
    clip_norm: Norm C that the attacker presumes.
    key: int64 [2].

  Returns:
    "mean": each canary's mean coefficient; "spread": its variance over the steps.
  """
  included = np.asarray(included, bool)
  records = tf.concat([tf.cast(x, tf.float32), canaries[0][included]], 0)
  labels = tf.concat([tf.cast(y, tf.int32), canaries[1][included]], 0)
  directions = _directions(model, weights, canaries, clip_norm)
  gram = tf.matmul(directions, directions, transpose_b=True)
  decoder = tf.linalg.solve(gram + _RIDGE * tf.eye(len(included)), directions)

  @tf.function(autograph=False)
  def step_fn(weights, step):
    rows = poisson_rows(tf.shape(labels)[0], rate, keys.fold(key, keys.POISSON, step))
    drawn = tf.gather(records, rows), tf.gather(labels, rows)
    released = gradient(model, weights, *drawn, key=key, step=step)[2]
    seen = tf.linalg.matvec(decoder, _flat(released))
    return tuple(w - learning_rate * g for w, g in zip(weights, released)), seen

  weights, seen = tuple(weights), []
  for step in range(steps):
    weights, coefficients = step_fn(weights, tf.constant(step))
    seen.append(coefficients.numpy())
  seen = np.stack(seen)
  return {"mean": seen.mean(0), "spread": seen.var(0)}


def _flat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.concat([tf.reshape(t, [-1]) for t in tensors], 0)


def _directions(model, weights, canaries, clip_norm) -> tf.Tensor:
  """Each canary's clipped gradient at the first weights, of length 1, float32 [m, weights]."""

  @tf.function(autograph=False)
  def one(x, y):
    made = clipped_sum(
      model, weights, x, y, clip_norm=clip_norm, dropout_key=keys.root(0)
    )
    return tf.math.l2_normalize(_flat(made.gradients))

  pairs = ((canaries[0][i : i + 1], canaries[1][i : i + 1]) for i in range(len(canaries[1])))
  return tf.stack([one(tf.constant(x), tf.constant(y)) for x, y in pairs])
