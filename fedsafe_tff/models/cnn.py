"""The paper's network (4.2): six convolutions, five dense layers, ReLU, dropout 0.25.

Widths, kernel size and the place of the dropout (once, before the last layer) follow the first
author's public attack study. Kernels are drawn with He's normal initialisation: under Glorot's the
eleven layers stay at chance for many epochs.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights

CONV_WIDTHS = {
  "narrow": (16, 16, 32, 32, 64, 64),
  "wide": (100, 150, 200, 200, 250, 250),
}
_KERNEL = 3
# The logits begin near zero: under He's full scale they begin at 1 to 5, equal for all images, and
# the first steps against that offset kill the few units of the last hidden layers for good.
_LOGITS_SCALE = 0.1
_POOL_AFTER = (1, 3, 5)  # a 2x2 max-pooling follows every second convolution


def parse_widths(text: str, count: int, flag: str) -> tuple[int, ...]:
  """Reads `count` positive integers, or the name of a preset width."""
  if text in CONV_WIDTHS and count == len(CONV_WIDTHS[text]):
    return CONV_WIDTHS[text]
  try:
    widths = tuple(int(entry) for entry in text.split(","))
  except ValueError:
    widths = ()
  if len(widths) != count or min(widths, default=0) < 1:
    raise UserError(f"--{flag}={text} must be {count} comma-separated numbers above 0")
  return widths


def build_cnn(
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  conv_widths: Sequence[int] = CONV_WIDTHS["narrow"],
  dense_widths: Sequence[int] = (64, 32, 16, 8),
  dropout: float = 0.25,
  mean: Sequence[float] = (0.5,),
  stddev: Sequence[float] = (0.25,),
  compute_dtype: str = "float32",
  pool_grid: int = 0,
) -> FunctionalModel:
  """Builds the CNN as a functional model.

  Args:
    input_shape: (height, width, channels); sides of at least 8 pixels.
    num_classes: Number of logits.
    conv_widths: Filters of the six 3x3 convolutions.
    dense_widths: Units of the four hidden dense layers.
    dropout: Rate of the dropout before the last layer.
    mean: Per-channel mean that the first layer subtracts, in pixels of [0, 1].
    stddev: Per-channel standard deviation that it divides by, in pixels of [0, 1].
    compute_dtype: "float32", or "bfloat16" for all layers but the last; weights, logits and
      gradients are float32 either way.
    pool_grid: Average the last feature map over a grid of this many cells a side before the dense
      layers, for images whose class lies in their texture; 0 hands on every position.

  Returns:
    The model; its weights alternate kernel and bias, layer by layer.
  """
  height, width, channels = input_shape
  if min(height, width) < 8:
    raise UserError(f"images of {height}x{width} pixels are too small for the CNN: at least 8x8")
  shapes = []
  depth = channels
  for filters in conv_widths:
    shapes.append((_KERNEL, _KERNEL, depth, filters))
    depth = filters
  window = (1, 1)
  if pool_grid:
    window = (max(1, height // 8 // pool_grid), max(1, width // 8 // pool_grid))
  units = (height // 8 // window[0]) * (width // 8 // window[1]) * depth
  for next_units in (*dense_widths, num_classes):
    shapes.append((units, next_units))
    units = next_units

  dtype = tf.as_dtype(compute_dtype)
  last = len(shapes) - 1

  def init(key: tf.Tensor) -> Weights:
    weights = []
    for layer, shape in enumerate(shapes):
      stddev_he = math.sqrt(2.0 / math.prod(shape[:-1]))
      if layer == last:
        stddev_he *= _LOGITS_SCALE
      kernel = tf.random.stateless_normal(
        shape, keys.fold(key, keys.INIT, layer), stddev=stddev_he, alg=keys.ALG
      )
      weights += [kernel, tf.zeros(shape[-1:])]
    return tuple(weights)

  def layer_weights(weights, layer):
    pair = weights[2 * layer : 2 * layer + 2]
    return pair if layer == last else [tf.cast(w, dtype) for w in pair]

  def apply(weights, images, key, training):
    x = (images - tf.constant(mean, tf.float32)) / tf.constant(stddev, tf.float32)
    x = tf.cast(x, dtype)
    for layer in range(len(conv_widths)):
      kernel, bias = layer_weights(weights, layer)
      x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
      if layer in _POOL_AFTER:
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    if pool_grid:
      x = tf.nn.avg_pool2d(x, window, window, "VALID")
    x = tf.reshape(x, [-1, shapes[len(conv_widths)][0]])
    for layer in range(len(conv_widths), len(shapes)):
      kernel, bias = layer_weights(weights, layer)
      if layer == last:
        x = tf.cast(x, tf.float32)
        if training and dropout > 0:
          mask_key = keys.fold(key, keys.DROPOUT)
          x = tf.nn.experimental.stateless_dropout(x, dropout, mask_key, rng_alg=keys.ALG)
      x = tf.nn.bias_add(tf.matmul(x, kernel), bias)
      if layer != last:
        x = tf.nn.relu(x)
    return x

  return FunctionalModel(
    name=f"cnn-{'-'.join(map(str, conv_widths))}-{compute_dtype}",
    input_shape=tuple(input_shape),
    num_classes=num_classes,
    init_fn=init,
    apply_fn=apply,
  )
