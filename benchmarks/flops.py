"""Floating-point operations of the CNN, counted from its shapes.

Convolutions and matrix products only, two operations for each multiply-add; border pixels count
as inner ones. Activations, pooling and the loss are left out, so that shares are lower bounds.
"""

import dataclasses
from collections.abc import Sequence

_KERNEL = 3


@dataclasses.dataclass(frozen=True)
class Flops:
  """Per image.

  Attributes:
    forward: A forward pass.
    first: The first layer's share of it.
  """

  forward: int
  first: int

  @property
  def training(self) -> int:
    """Forward, gradients of all weights, gradients of all layers' inputs but the image's."""
    return 3 * self.forward - self.first

  @property
  def input_gradient(self) -> int:
    """Forward, and the gradients of all layers' inputs."""
    return 2 * self.forward


def of_cnn(
  input_shape: Sequence[int],
  conv_widths: Sequence[int],
  dense_widths: Sequence[int],
  num_classes: int,
) -> Flops:
  """Counts the paper's CNN: a 2x2 pooling follows every second convolution."""
  height, width, depth = input_shape
  layers = []
  for index, filters in enumerate(conv_widths):
    layers.append(2 * height * width * _KERNEL**2 * depth * filters)
    depth = filters
    if index % 2:
      height, width = height // 2, width // 2
  units = height * width * depth
  for next_units in (*dense_widths, num_classes):
    layers.append(2 * units * next_units)
    units = next_units
  return Flops(forward=sum(layers), first=layers[0])
