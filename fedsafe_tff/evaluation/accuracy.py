"""Predictions, loss and accuracy over a set of images; dropout is always off."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel


class NotFinite(UserError):
  """A model whose logits are not numbers has no labels."""


class Scorer:
  """Compiled forward passes of one model; weights are arguments, so copies share the graph."""

  def __init__(self, model: FunctionalModel, batch_size: int = 64):
    self._batch_size = batch_size
    self._logits = model.compiled_logits()

  def logits(self, weights: Sequence[tf.Tensor], images: np.ndarray) -> np.ndarray:
    """Logits, float32 [n, classes], of uint8 images or float32 images in [0, 1]."""
    weights = tuple(tf.convert_to_tensor(w) for w in weights)
    parts = [
      self._logits(weights, to_float(images[start : start + self._batch_size])).numpy()
      for start in range(0, len(images), self._batch_size)
    ]
    return np.concatenate(parts)

  def predict(self, weights: Sequence[tf.Tensor], images: np.ndarray) -> np.ndarray:
    """Predicted labels, int32 [n].

    Raises:
      NotFinite: A logit is not finite: the largest of them would be label 0 without a word.
    """
    logits = self.logits(weights, images)
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
      raise NotFinite(
        f"the model's logits are not finite on {bad.sum()} of {len(bad)} images: its labels mean "
        "nothing; train it with a lower learning rate or less noise"
      )
    return logits.argmax(axis=1).astype(np.int32)

  def loss_and_accuracy(
    self, weights: Sequence[tf.Tensor], images: np.ndarray, labels: np.ndarray
  ) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy."""
    logits = self.logits(weights, images)
    return mean_loss(logits, labels), float((logits.argmax(axis=1) == labels).mean())


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
  """Mean cross-entropy (nats) of logits, float [n, classes], with labels, int [n]."""
  logits = logits.astype(np.float64)
  shifted = logits - logits.max(axis=1, keepdims=True)
  losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
  return float(losses.mean())


def to_float(images: np.ndarray) -> tf.Tensor:
  """uint8 images to float32 in [0, 1], by the same operation as in training."""
  if images.dtype == np.uint8:
    return tf.cast(images, tf.float32) / 255.0
  return tf.convert_to_tensor(images, tf.float32)
