"""What stands beside every attack success rate: random noise of its size, and zero gradients."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import random_noise
from fedsafe_tff.attacks.gradient import input_gradient
from fedsafe_tff.evaluation.accuracy import Scorer, to_float
from fedsafe_tff.models.functional import FunctionalModel


class Controls:
  """The controls of one set of images."""

  def __init__(
    self,
    model: FunctionalModel,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    key: tf.Tensor,
    batch_size: int = 64,
  ):
    """Prepares them.

    Args:
      model: The model.
      images: uint8 [n, h, w, c], or float32 in [0, 1].
      labels: int32 [n].
      key: int64 [2], for the noise.
      batch_size: Images at a time.
    """
    self._images, self._labels = images, np.asarray(labels, np.int32)
    self._key, self._batch_size = key, batch_size
    self._scorer = Scorer(model, batch_size)

    def all_zero(weights, x, y):
      gradient = input_gradient(lambda inputs: model.apply(weights, inputs), x, y)
      return tf.reduce_all(tf.equal(gradient, 0.0), axis=[1, 2, 3])

    images = tf.TensorSpec([None, *model.input_shape], tf.float32)
    signature = [model.weight_specs(), images, tf.TensorSpec([None], tf.int32)]
    self._all_zero = model.compiled("zero gradients", all_zero, signature)

  def noise_flips(
    self, weights: Sequence[tf.Tensor], clean: np.ndarray, eps: float, stream: int
  ) -> np.ndarray:
    """Whether random signs times eps change the predictions `clean`; bool [n]."""
    size = tf.constant(eps, tf.float32)
    parts = []
    for start in range(0, len(self._images), self._batch_size):
      rows = slice(start, start + self._batch_size)
      key = keys.fold(self._key, keys.RANDOM_NOISE, stream, start)
      noisy = random_noise(to_float(self._images[rows]), key, eps=size).numpy()
      parts.append(self._scorer.predict(weights, noisy) != clean[rows])
    return np.concatenate(parts)

  def zero_gradients(self, weights: Sequence[tf.Tensor]) -> np.ndarray:
    """Whether the gradient of the cross-entropy is zero at every pixel; bool [n]."""
    weights = tuple(tf.convert_to_tensor(w) for w in weights)
    parts = []
    for start in range(0, len(self._images), self._batch_size):
      rows = slice(start, start + self._batch_size)
      x, y = to_float(self._images[rows]), tf.constant(self._labels[rows])
      parts.append(self._all_zero(weights, x, y).numpy())
    return np.concatenate(parts)
