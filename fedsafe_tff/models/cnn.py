"""The paper's network (4.2): six convolutions, five dense layers, ReLU, dropout 0.25.

Widths, kernel size and the place of the dropout (once, before the last layer) follow the first
author's public attack study. Kernels are drawn with He's normal initialisation: under Glorot's the
eleven layers stay at chance for many epochs. Under He's alone they still do with some seeds: deep
down, all images look alike, and the few units of the last layers die before they tell them apart.
So each unit is then centred and scaled on some images of the server's, layer by layer (as in LSUV,
Mishkin and Matas, arXiv:1511.06422, but with the mean removed too).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights

CONV_WIDTHS = {
  "narrow": (16, 16, 32, 32, 64, 64),
  "wide": (100, 150, 200, 200, 250, 250),
}
_KERNEL = 3
_LEAST_VARIANCE = 1e-4  # a unit that varies less, as a dead one, is not scaled to variance 1
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


def from_settings(
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  conv_widths: str,
  dense_widths: str,
  **settings: Any,
) -> FunctionalModel:
  """`build_cnn` with widths as flags have them: "narrow", "wide" or comma-separated numbers.

  Raises:
    UserError: Widths that are none, or images too small.
  """
  return build_cnn(
    input_shape=input_shape,
    num_classes=num_classes,
    conv_widths=parse_widths(conv_widths, 6, "conv_widths"),
    dense_widths=parse_widths(dense_widths, 4, "dense_widths"),
    **settings,
  )


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
  calibration: np.ndarray | None = None,
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
    calibration: Images, uint8 [n, height, width, channels], on which the initial weights are
      centred and scaled, unit by unit; None leaves them as drawn.

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
  normalisation = tuple(np.asarray(values, np.float32) for values in (mean, stddev))

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
    return tuple(weights) if calibration is None else calibrated(weights)

  def forward(weights, images, before_logits, after_layer=None):
    """Logits; `after_layer(layer, kernel, bias, x)` may change what leaves a layer."""
    x = (images - tf.constant(normalisation[0])) / tf.constant(normalisation[1])
    compute = tf.float32 if after_layer else dtype
    x = tf.cast(x, compute)
    for layer in range(len(shapes)):
      kernel, bias = weights[2 * layer : 2 * layer + 2]
      if layer == last:
        x = before_logits(tf.cast(x, tf.float32))
      else:
        kernel, bias = tf.cast(kernel, compute), tf.cast(bias, compute)
      if layer < len(conv_widths):
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
      else:
        x = tf.matmul(x, kernel)
      x = tf.nn.bias_add(x, bias)
      if after_layer:
        x = after_layer(layer, kernel, bias, x)
      if layer != last:
        x = tf.nn.relu(x)
      if layer in _POOL_AFTER:
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
      if layer == len(conv_widths) - 1:
        if pool_grid:
          x = tf.nn.avg_pool2d(x, window, window, "VALID")
        x = tf.reshape(x, [-1, shapes[len(conv_widths)][0]])
    return x

  def calibrated(weights: Sequence[tf.Tensor]) -> Weights:
    made = []

    def adjust(layer, kernel, bias, x):
      center, variance = tf.nn.moments(x, list(range(x.shape.rank - 1)))
      target = _LOGITS_SCALE if layer == last else 1.0  # as the kernels were drawn
      scale = target / tf.sqrt(tf.maximum(variance, _LEAST_VARIANCE * target**2))
      made.extend([kernel * scale, (bias - center) * scale])
      return (x - center) * scale

    pixels = tf.cast(tf.constant(calibration), tf.float32) / 255.0
    forward(weights, pixels, tf.identity, adjust)
    return tuple(made)

  def apply(weights, images, key, training):
    def dropped(x):
      if not training or dropout == 0:
        return x
      mask_key = keys.fold(key, keys.DROPOUT)
      return tf.nn.experimental.stateless_dropout(x, dropout, mask_key, rng_alg=keys.ALG)

    return forward(weights, images, dropped)

  def with_normalisation(values: Sequence[np.ndarray]) -> FunctionalModel:
    return build_cnn(
      input_shape=input_shape,
      num_classes=num_classes,
      conv_widths=conv_widths,
      dense_widths=dense_widths,
      dropout=dropout,
      mean=values[0],
      stddev=values[1],
      compute_dtype=compute_dtype,
      pool_grid=pool_grid,
      calibration=calibration,
    )

  layers = [f"conv_{n + 1}" for n in range(len(conv_widths))]
  layers += [f"dense_{n + 1}" for n in range(len(shapes) - len(conv_widths))]
  return FunctionalModel(
    name=f"cnn-{'-'.join(map(str, conv_widths))}-{compute_dtype}",
    input_shape=tuple(input_shape),
    num_classes=num_classes,
    init_fn=init,
    apply_fn=apply,
    weight_names=tuple(f"{layer}/{part}" for layer in layers for part in ("kernel", "bias")),
    frozen=tuple(zip(("normalisation/mean", "normalisation/stddev"), normalisation)),
    with_frozen_fn=with_normalisation,
  )
