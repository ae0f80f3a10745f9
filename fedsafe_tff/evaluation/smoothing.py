"""Certified accuracy by randomised smoothing (Cohen et al., arXiv:1902.02918).

The smoothed classifier answers with the class that the model gives most often to the image plus
Gaussian noise. Where that class has a chance above pA > 1/2, no change of L2 length below
sigma Phi^-1(pA) changes the answer, whatever the attack. Of the smoothed classifier, that is, not
of the model alone; and with confidence 1 - alpha for each image. The bound is on pA alone, as in
the paper: the rest, 1 - pA, is taken for the runner-up, which for two classes is no loss.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import to_float
from fedsafe_tff.evaluation.statistics import clopper_pearson_low
from fedsafe_tff.models.functional import FunctionalModel

ABSTAIN = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Certificates:
  """What holds for each image.

  Attributes:
    predicted: Class of the smoothed classifier, int32 [n]; `ABSTAIN` where none is sure.
    radius: L2 radius within which it holds, in pixels of [0, 1], float64 [n]; 0 for `ABSTAIN`.
    sigma: Of the noise, in pixels of [0, 1].
    alpha: Chance of a wrong certificate, per image.
    samples: Draws per image.
  """

  predicted: np.ndarray
  radius: np.ndarray
  sigma: float
  alpha: float
  samples: int

  def certified_accuracy(self, labels: np.ndarray, radii: Sequence[float]) -> np.ndarray:
    """Share of images that are right and stay so within each of the L2 `radii`, float64."""
    right = self.predicted == np.asarray(labels)
    return np.array([(right & (self.radius >= radius)).mean() for radius in radii])


def linf_radius(radius: np.ndarray | float, input_shape: Sequence[int]) -> np.ndarray | float:
  """The largest L-infinity ball that fits in an L2 ball, whose corners touch it.

  The noise is round: this is what it certifies against L-infinity, and it is little. It says
  nothing of how far an L-infinity attack must really go.
  """
  return radius / np.sqrt(np.prod(input_shape))


class Smoother:
  """The smoothed classifier of one model; weights are arguments, so that copies share the graph."""

  def __init__(self, model: FunctionalModel, sigma: float, batch_size: int = 128):
    """Prepares it.

    Args:
      model: The model. Noisy pixels are not clipped to [0, 1], as in the paper.
      sigma: Standard deviation of the noise, in pixels of [0, 1].
      batch_size: Noisy images at a time.

    Raises:
      UserError: A sigma that is not above 0.
    """
    if not sigma > 0:
      raise UserError(f"smoothing needs a sigma above 0, not {sigma}")
    self._sigma = sigma

    @tf.function(
      input_signature=[
        model.weight_specs(),
        tf.TensorSpec(model.input_shape, tf.float32),
        tf.TensorSpec([], tf.int32),
        keys.SPEC,
      ],
      autograph=False,
    )
    def count(weights, image, samples, key):
      def add(done, total):
        number = tf.minimum(batch_size, samples - done)
        noise = tf.random.stateless_normal(
          [batch_size, *model.input_shape], keys.fold(key, done), 0.0, sigma, alg=keys.ALG
        )
        logits = model.apply(weights, image + noise[:number])
        labels = tf.argmax(logits, axis=1, output_type=tf.int32)
        found = tf.math.bincount(labels, minlength=model.num_classes, maxlength=model.num_classes)
        return done + number, total + found

      none = tf.zeros([model.num_classes], tf.int32)
      return tf.while_loop(
        lambda done, _: done < samples, add, (tf.constant(0), none), parallel_iterations=1
      )[1]

    self._count = count

  def counts(
    self, weights: Sequence[tf.Tensor], image: np.ndarray, samples: int, key: tf.Tensor
  ) -> np.ndarray:
    """How often each class is predicted under noise, int32 [classes].

    Args:
      weights: The model's.
      image: uint8 or float32 [h, w, c].
      samples: Number of draws.
      key: int64 [2].
    """
    weights = tuple(tf.convert_to_tensor(w) for w in weights)
    return self._count(weights, to_float(image), tf.constant(samples), key).numpy()

  def predict(
    self,
    weights: Sequence[tf.Tensor],
    images: np.ndarray,
    *,
    key: tf.Tensor,
    n: int = 1000,
    alpha: float = 0.001,
  ) -> np.ndarray:
    """The paper's PREDICT: int32 [images], `ABSTAIN` where two classes are too close to call."""
    made = []
    for index, image in enumerate(images):
      counts = self.counts(weights, image, n, keys.fold(key, keys.SMOOTHING, index))
      second, first = np.sort(counts)[-2:]
      sure = scipy.stats.binomtest(int(first), int(first + second)).pvalue <= alpha
      made.append(counts.argmax() if sure else ABSTAIN)
    return np.array(made, np.int32)

  def certify(
    self,
    weights: Sequence[tf.Tensor],
    images: np.ndarray,
    *,
    key: tf.Tensor,
    n0: int = 100,
    n: int = 1000,
    alpha: float = 0.001,
    progress: Callable[[int, int], None] | None = None,
  ) -> Certificates:
    """The paper's CERTIFY.

    Args:
      weights: The model's.
      images: uint8 [images, h, w, c], or float32 in [0, 1].
      key: int64 [2].
      n0: Draws that choose the class.
      n: Other draws that bound its chance. The paper takes 100000; with n draws no radius can be
        above sigma Phi^-1(alpha^(1/n)).
      alpha: Chance of a wrong certificate, per image.
      progress: Is told how many images of how many are done, at every twentieth of them.

    Raises:
      UserError: Counts below 1 or an alpha outside of (0, 1).
    """
    if min(n0, n) < 1 or not 0 < alpha < 1:
      raise UserError(
        f"certificates need n0 and n of at least 1 and alpha in (0, 1), not {n0}, {n} and {alpha}"
      )
    chosen, hits = [], []
    for index, image in enumerate(images):
      own = keys.fold(key, keys.SMOOTHING, index)
      chosen.append(int(self.counts(weights, image, n0, keys.fold(own, 0)).argmax()))
      hits.append(int(self.counts(weights, image, n, keys.fold(own, 1))[chosen[-1]]))
      if progress is not None and len(hits) % max(1, len(images) // 20) == 0:
        progress(len(hits), len(images))
    low = clopper_pearson_low(np.array(hits), n, alpha)
    sure = low > 0.5
    return Certificates(
      predicted=np.where(sure, chosen, ABSTAIN).astype(np.int32),
      radius=np.where(sure, self._sigma * scipy.stats.norm.ppf(low), 0.0),
      sigma=self._sigma,
      alpha=alpha,
      samples=n0 + n,
    )
