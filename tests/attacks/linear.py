"""A linear model of which every gradient can be written down."""

import numpy as np
import tensorflow as tf

MATRIX = np.array([[1.0, -1.0], [2.0, 0.5], [0.0, 0.0], [-1.0, 3.0]], np.float32)


def logits_fn(x: tf.Tensor) -> tf.Tensor:
  """Logits of images [n, 2, 2, 1]."""
  return tf.reshape(x, [-1, 4]) @ MATRIX


def gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """dL/dx of the summed cross-entropy, in numpy."""
  logits = x.reshape(-1, 4).astype(np.float64) @ MATRIX
  p = np.exp(logits - logits.max(1, keepdims=True))
  p /= p.sum(1, keepdims=True)
  return ((p - np.eye(2)[y]) @ MATRIX.T).reshape(x.shape)
