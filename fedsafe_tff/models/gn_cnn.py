"""A convolutional network for private training: GroupNorm, and one linear classifier.

The six convolutions of the paper's network (4.2), each followed by GroupNorm (Wu and He,
arXiv:1803.08494), which looks at one image alone, as clipping per example asks for. The features
are centred and brought to one length, so that the classifier's gradients are about as long for all
images: a clipping norm then fits all of them. There are no hidden dense layers: noise in eleven
layers, one behind the other, drowns what the images say (docs/privacy.md has the numbers).

With SiLU in the place of ReLU its gradients change smoothly with the image, which helps training on
perturbations (Xie et al., Smooth Adversarial Training, arXiv:2006.14536; docs/defences.md).
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.cnn import CONV_WIDTHS, parse_widths
from fedsafe_tff.models.functional import FunctionalModel, Weights

_KERNEL = 3
_CHANNELS_A_GROUP = 4
_POOL_AFTER = (1, 3, 5)  # a 2x2 max-pooling follows every second convolution
_EPSILON = 1e-5
# Length of the features. The gradient of an undecided image of two classes is as long over sqrt(2).
_LENGTH = 8.0
# Name to what follows each GroupNorm, and to the stem of the network's name.
ACTIVATIONS: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], str]] = {
  "relu": (tf.nn.relu, "gn_cnn"),
  "silu": (tf.nn.silu, "gn_silu_cnn"),
}


def from_settings(
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  conv_widths: str,
  mean: Sequence[float],
  stddev: Sequence[float],
  pool_grid: int,
  activation: str = "relu",
) -> FunctionalModel:
  """`build_gn_cnn` with widths as flags have them.

  Raises:
    UserError: Widths that are none, or images too small.
  """
  widths = parse_widths(conv_widths, 6, "conv_widths")
  return build_gn_cnn(
    input_shape=input_shape,
    num_classes=num_classes,
    conv_widths=widths,
    mean=mean,
    stddev=stddev,
    pool_grid=pool_grid,
    activation=activation,
  )


# As `from_settings`, with SiLU for ReLU.
smooth_from_settings = functools.partial(from_settings, activation="silu")


def group_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
  """Each image's channels, in groups, at mean 0 and variance 1, then scaled and moved.

  Keras's layer does the same, but holds its weights as variables.

  Args:
    x: [n, height, width, channels].
    scale: [channels].
    offset: [channels].
  """
  channels = x.shape[-1]
  groups = channels // _CHANNELS_A_GROUP if channels % _CHANNELS_A_GROUP == 0 else 1

  def group_means(of_channels):
    """[n, channels] to the mean over each channel's group, [n, 1, 1, channels]."""
    means = tf.reduce_mean(tf.reshape(of_channels, [-1, groups, channels // groups]), axis=2)
    return tf.repeat(means, channels // groups, axis=1)[:, tf.newaxis, tf.newaxis]

  # Channel by channel first: sums over height and width alone are several times as fast.
  centred = x - group_means(tf.reduce_mean(x, axis=[1, 2]))
  variance = group_means(tf.reduce_mean(tf.square(centred), axis=[1, 2]))
  return centred * (scale * tf.math.rsqrt(variance + _EPSILON)) + offset


def unit_features(x: tf.Tensor) -> tf.Tensor:
  """Features [n, d] centred, image by image, and brought to length 8."""
  x -= tf.reduce_mean(x, axis=1, keepdims=True)
  square = tf.reduce_sum(tf.square(x), axis=1, keepdims=True)
  return x * (_LENGTH * tf.math.rsqrt(square + _EPSILON))


def build_gn_cnn(
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  conv_widths: Sequence[int] = CONV_WIDTHS["narrow"],
  mean: Sequence[float] = (0.5,),
  stddev: Sequence[float] = (0.25,),
  pool_grid: int = 0,
  activation: str = "relu",
) -> FunctionalModel:
  """Builds the network as a functional model.

  Args:
    input_shape: (height, width, channels); sides of at least 8 pixels.
    num_classes: Number of logits.
    conv_widths: Filters of the six 3x3 convolutions.
    mean: Per-channel mean that the first layer subtracts, in pixels of [0, 1].
    stddev: Per-channel standard deviation that it divides by, in pixels of [0, 1].
    pool_grid: Average the last feature map over a grid of this many cells a side; 0 keeps every
      position.
    activation: One of `ACTIVATIONS`.

  Returns:
    The model; of each convolution kernel, bias, scale and offset, then the classifier's kernel and
    bias, which begin at 0.

  Raises:
    UserError: Images too small.
  """
  activate, stem = ACTIVATIONS[activation]
  height, width, channels = input_shape
  if min(height, width) < 8:
    raise UserError(f"images of {height}x{width} pixels are too small for the CNN: at least 8x8")
  window = (1, 1)
  if pool_grid:
    window = tuple(max(1, side // 8 // pool_grid) for side in (height, width))
  units = (height // 8 // window[0]) * (width // 8 // window[1]) * conv_widths[-1]
  normalisation = tuple(np.asarray(values, np.float32) for values in (mean, stddev))

  def init(key: tf.Tensor) -> Weights:
    weights, depth = [], channels
    for layer, filters in enumerate(conv_widths):
      shape = (_KERNEL, _KERNEL, depth, filters)
      kernel = tf.random.stateless_normal(
        shape,
        keys.fold(key, keys.INIT, layer),
        stddev=math.sqrt(2.0 / math.prod(shape[:-1])),
        alg=keys.ALG,
      )
      weights += [kernel, tf.zeros([filters]), tf.ones([filters]), tf.zeros([filters])]
      depth = filters
    return (*weights, tf.zeros([units, num_classes]), tf.zeros([num_classes]))

  def apply(weights, images, key, training):
    del key, training  # no dropout: the noise does as much
    x = (images - tf.constant(normalisation[0])) / tf.constant(normalisation[1])
    for layer in range(len(conv_widths)):
      kernel, bias, scale, offset = weights[4 * layer : 4 * layer + 4]
      x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
      x = activate(group_norm(x, scale, offset))
      if layer in _POOL_AFTER:
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    if pool_grid:
      x = tf.nn.avg_pool2d(x, window, window, "VALID")
    features = unit_features(tf.reshape(x, [-1, units]))
    return tf.matmul(features, weights[-2]) + weights[-1]

  def with_normalisation(values: Sequence[np.ndarray]) -> FunctionalModel:
    return build_gn_cnn(
      input_shape=input_shape,
      num_classes=num_classes,
      conv_widths=conv_widths,
      mean=values[0],
      stddev=values[1],
      pool_grid=pool_grid,
      activation=activation,
    )

  parts = ("kernel", "bias", "scale", "offset")
  names = [f"conv_{n + 1}/{part}" for n in range(len(conv_widths)) for part in parts]
  return FunctionalModel(
    name=f"{stem}-{'-'.join(map(str, conv_widths))}",
    input_shape=tuple(input_shape),
    num_classes=num_classes,
    init_fn=init,
    apply_fn=apply,
    weight_names=(*names, "classifier/kernel", "classifier/bias"),
    frozen=tuple(zip(("normalisation/mean", "normalisation/stddev"), normalisation)),
    with_frozen_fn=with_normalisation,
  )
