"""A small model and shards that tests of the algorithm share; a linear one to compute by hand."""

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data import shards
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.models.cnn import build_cnn
from fedsafe_tff.models.functional import FunctionalModel

SHAPE = (16, 16, 1)
SIZES = (20, 33, 11)


def model(**keywords):
  """A CNN of the paper's form with few units."""
  settings = {"conv_widths": (4, 4, 4, 4, 8, 8), "dense_widths": (8, 8, 8, 8)} | keywords
  return build_cnn(input_shape=SHAPE, num_classes=2, **settings)


def net(input_shape=SHAPE, num_classes=2, *, dropout=0.25) -> FunctionalModel:
  """A convolution, a pooling, dropout keyed as the CNN's, a dense layer.

  For tests of rounds and of whole runs, which spend their time building graphs: the CNN's eleven
  layers make them several times as long and change nothing that those tests assert. As a run's
  `--model` it is `tests.small:net`.
  """
  height, width, channels = input_shape
  kernel, dense = (3, 3, channels, 4), (height // 4 * (width // 4) * 4, num_classes)

  def init(key):
    weights = []
    for layer, (shape, stddev) in enumerate(((kernel, 0.5), (dense, 0.05))):
      key_here = keys.fold(key, keys.INIT, layer)
      drawn = tf.random.stateless_normal(shape, key_here, stddev=stddev, alg=keys.ALG)
      weights += [drawn, tf.zeros(shape[-1:])]
    return tuple(weights)

  def apply(weights, inputs, key, training):
    x = tf.nn.conv2d(inputs - 0.5, weights[0], 2, "SAME")
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.bias_add(x, weights[1])), 2, 2, "VALID")
    x = tf.reshape(x, [-1, dense[0]])
    if training and dropout:
      mask_key = keys.fold(key, keys.DROPOUT)
      x = tf.nn.experimental.stateless_dropout(x, dropout, mask_key, rng_alg=keys.ALG)
    return tf.nn.bias_add(tf.matmul(x, weights[2]), weights[3])

  names = tuple(f"{layer}/{part}" for layer in ("conv", "dense") for part in ("kernel", "bias"))
  return FunctionalModel("net", tuple(input_shape), num_classes, init, apply, names)


def linear() -> FunctionalModel:
  """Two logits, linear in the pixels, whose weights are a matrix and a vector."""

  def apply(weights, inputs, key, training):
    del key, training
    return tf.reshape(inputs, [-1, int(np.prod(SHAPE))]) @ weights[0] + weights[1]

  def init(key):
    matrix = tf.random.stateless_normal([int(np.prod(SHAPE)), 2], key, stddev=0.05)
    return matrix, tf.constant([0.1, -0.2])

  return FunctionalModel("linear", SHAPE, 2, init, apply)


class LinearByHand:
  """The loss of `linear` and its gradients, the logistic loss of the paper in numpy."""

  def __init__(self, weights):
    self.matrix, self.bias = (np.array(w, np.float64) for w in weights)

  def _slope(self, x, labels):
    """Labels y of -1 and +1, the margin z, and d log(1 + exp(-y z)) / dz."""
    y = 2.0 * labels - 1.0
    z = x.reshape(len(x), -1) @ (self.matrix[:, 1] - self.matrix[:, 0])
    z += self.bias[1] - self.bias[0]
    return y, z, -y / (1.0 + np.exp(y * z))

  def loss(self, x, labels):
    """Mean of log(1 + exp(-y z))."""
    y, z, _ = self._slope(x, labels)
    return np.log1p(np.exp(-y * z)).mean()

  def fgsm(self, x, labels, eps):
    """Eq. 6."""
    slope = self._slope(x, labels)[2]
    gradient = slope[:, None] * (self.matrix[:, 1] - self.matrix[:, 0])
    return np.clip(x + eps * np.sign(gradient.reshape(x.shape)), 0.0, 1.0)

  def step(self, x, labels, rate):
    """A step of gradient descent on the mean loss."""
    slope = self._slope(x, labels)[2] / len(x)
    by_margin = x.reshape(len(x), -1).T @ slope
    self.matrix += rate * np.stack([by_margin, -by_margin], 1)
    self.bias += rate * np.array([slope.sum(), -slope.sum()])


def images(count: int, seed: int):
  """Images whose brightness tells the class."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 2, count)
  noise = rng.integers(0, 120, (count, *SHAPE))
  return (noise + 100 * labels[:, None, None, None]).astype(np.uint8), labels


def read_shards(store: shards.ShardStore):
  """What `learning.clients.Shards` reads by."""
  return lambda client: read_client(store.directory, client, store.image_shape)


def batches(client: int, size: int = 8) -> tf.data.Dataset:
  """A client's images as TFF's users have them: batches in [0, 1], once over, as they come."""
  x, y = images(SIZES[client], client)
  examples = tf.data.Dataset.from_tensor_slices((x / np.float32(255), y.astype(np.int32)))
  return examples.batch(size)


def store(folder) -> shards.ShardStore:
  """Shards of three clients and of the server."""
  parts = {shards.client_name(i): images(n, i) for i, n in enumerate(SIZES)}
  return shards.build(str(folder), "small", parts | {shards.SERVER: images(17, 9)})
