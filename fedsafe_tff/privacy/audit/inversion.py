"""Gradient inversion: the image behind a gradient or an update (Geiping et al., arXiv:2003.14053).

The attacker knows the model, the weights and the labels (which a gradient of the last layer gives
away), and moves images until their gradient points where the observed one does: signed Adam steps
on 1 - cosine similarity, with total variation as what it knows of images. After one local step, an
update is a gradient times the rate; after many, it is only nearly one.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel


@dataclasses.dataclass(frozen=True, eq=False)
class Inversion:
  """What came out.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1].
    mismatch: 1 - cosine similarity of its gradient to the observed one.
  """

  images: np.ndarray
  mismatch: float


def invert(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  observed: Sequence[tf.Tensor],
  labels: Sequence[int],
  *,
  steps: int = 300,
  rate: float = 0.05,
  smoothness: float = 1e-3,
  restarts: int = 1,
  key: tf.Tensor | None = None,
) -> Inversion:
  """Finds images whose mean gradient has the direction of the observed one.

  Args:
    model: The model; dropout is off, which is best for the attacker.
    weights: Where the gradient was taken.
    observed: One tensor per weight: a gradient, or an update's negative.
    labels: Of the images, [n].
    steps: Adam steps.
    rate: Size of a step in pixels of [0, 1], decayed at 3/8, 5/8 and 7/8 of the steps.
    smoothness: Weight of the total variation.
    restarts: Beginnings at random; the least mismatch is kept.
    key: int64 [2], of the beginnings.
  """
  key = keys.root(0) if key is None else key
  y = tf.constant(labels, tf.int32)
  target = tf.math.l2_normalize(_flat(observed))
  weights = tuple(tf.convert_to_tensor(w) for w in weights)
  shape = [len(labels), *model.input_shape]

  def mismatch(x):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.in_training.apply(weights, x)
      loss = tf.reduce_mean(model.losses(logits, y))
    made = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return 1.0 - tf.reduce_sum(tf.math.l2_normalize(_flat(made)) * target)

  @tf.function(autograph=False)
  def run(x):
    def step(number, x, mean, square):
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        size = float(np.prod(shape))
        loss = mismatch(x) + smoothness * tf.reduce_sum(tf.image.total_variation(x)) / size
      sign = tf.sign(tape.gradient(loss, x))
      mean, square = 0.9 * mean + 0.1 * sign, 0.999 * square + 0.001 * tf.square(sign)
      count = tf.cast(number + 1, tf.float32)
      unbiased = mean / (1.0 - 0.9**count), square / (1.0 - 0.999**count)
      passed = sum(tf.cast(8 * number >= k * steps, tf.float32) for k in (3, 5, 7))
      move = rate * 0.1**passed * unbiased[0] / (tf.sqrt(unbiased[1]) + 1e-8)
      return number + 1, tf.clip_by_value(x - move, 0.0, 1.0), mean, square

    zeros = tf.zeros(shape)
    _, x, _, _ = tf.while_loop(
      lambda number, *_: number < steps, step, (tf.constant(0), x, zeros, zeros),
      parallel_iterations=1,
    )
    return x, mismatch(x)

  found = []
  for restart in range(restarts):
    x, left = run(tf.random.stateless_uniform(shape, keys.fold(key, restart), alg=keys.ALG))
    found.append(Inversion(x.numpy(), float(left)))
  return min(found, key=lambda made: made.mismatch)


@dataclasses.dataclass(frozen=True)
class Similarity:
  """How near recovered images come to the true ones, the best pairing of them.

  Attributes:
    ssim: Mean structural similarity; 1 is the same.
    psnr: Mean peak signal to noise, in decibel.
    correlation: Mean correlation of the pixels.
    control: Mean SSIM of the same pairing with images that the attacker never had, in the place of
      the recovered ones: what a picture of that kind gets anyway.
  """

  ssim: float
  psnr: float
  correlation: float
  control: float


def similarity(
  recovered: np.ndarray, truth: np.ndarray, control: np.ndarray | None = None
) -> Similarity:
  """Compares images, float32 [n, height, width, channels] in [0, 1], whatever their order.

  Args:
    recovered: What the attacker has.
    truth: What the client trained on.
    control: Other images of the same kind, as many; None leaves the control NaN.
  """
  from scipy.optimize import linear_sum_assignment

  def pairs(made):
    table = np.stack([
      tf.image.ssim(
        tf.repeat(tf.constant(image[np.newaxis], tf.float32), len(truth), 0),
        tf.constant(truth, tf.float32),
        max_val=1.0,
        filter_size=min(11, *truth.shape[1:3]),
      ).numpy()
      for image in made
    ])
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].mean()), list(zip(rows, columns))

  ssim, matched = pairs(recovered)
  errors, correlations = [], []
  for i, j in matched:
    a, b = np.ravel(recovered[i]).astype(float), np.ravel(truth[j]).astype(float)
    errors.append(10 * np.log10(1.0 / max(np.mean((a - b) ** 2), 1e-10)))
    spread = a.std() * b.std()
    correlations.append(np.mean((a - a.mean()) * (b - b.mean())) / spread if spread else 0.0)
  return Similarity(
    ssim, float(np.mean(errors)), float(np.mean(correlations)),
    pairs(control)[0] if control is not None else float("nan"),
  )


def _flat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.concat([tf.reshape(t, [-1]) for t in tensors], 0)
