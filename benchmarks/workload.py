"""The images and the model of a benchmark: real MRI, or random images of the same shape."""

import argparse
import dataclasses
import sys

import numpy as np

from benchmarks import flops as flops_lib
from fedsafe_tff.data import loading, shards
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import cnn

SEED = 0
# Small, so that agreement of weights can be checked: at 0.01 and at 0.002 the first steps, with
# batches in file order, are so unstable that differences of rounding grow to several percent of a
# round's step. A mistake, such as a batch left out, has the same share of the step at any rate.
LEARNING_RATE = 0.0002
_SYNTHETIC_CLASSES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
  """What all contenders compute on.

  Attributes:
    source: Where the images come from, for the page.
    images: uint8 [n, height, width, channels], in random order.
    labels: int32 [n].
    num_classes: Number of classes.
    conv_widths: Filters of the six convolutions.
    dense_widths: Units of the four hidden dense layers.
    batch_size: Of local training.
    cache_dir: Folder for shards.
  """

  source: str
  images: np.ndarray
  labels: np.ndarray
  num_classes: int
  conv_widths: tuple[int, ...]
  dense_widths: tuple[int, ...]
  batch_size: int
  cache_dir: str

  @property
  def input_shape(self) -> tuple[int, int, int]:
    """(height, width, channels)."""
    return tuple(self.images.shape[1:])

  @property
  def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel."""
    pixels = self.images[:500].astype(np.float64) / 255.0
    return tuple(pixels.mean(axis=(0, 1, 2))), tuple(pixels.std(axis=(0, 1, 2)))

  @property
  def flops(self) -> flops_lib.Flops:
    """Of the model, per image."""
    return flops_lib.of_cnn(
      self.input_shape, self.conv_widths, self.dense_widths, self.num_classes
    )

  def model(self, compute_dtype: str = "float32", *, dropout: float = 0.25):
    """The CNN."""
    mean, stddev = self.normalisation
    return cnn.build_cnn(
      input_shape=self.input_shape,
      num_classes=self.num_classes,
      conv_widths=self.conv_widths,
      dense_widths=self.dense_widths,
      dropout=dropout,
      mean=mean,
      stddev=stddev,
      compute_dtype=compute_dtype,
    )

  def clients(self, count: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of each client; images come again where there are too few of them."""
    rows = np.arange(count * size).reshape(count, size) % len(self.labels)
    return [(self.images[r], self.labels[r]) for r in rows]

  def store(self, clients: list[tuple[np.ndarray, np.ndarray]]) -> shards.ShardStore:
    """The clients' images as the shards that our own computations read."""
    parts = {shards.client_name(i): client for i, client in enumerate(clients)}
    # Of a size that no client's shard can have: the server takes no part in these rounds.
    parts[shards.SERVER] = self.images[:1], self.labels[:1]
    return shards.build(self.cache_dir, "benchmark", parts)

  def describe(self) -> str:
    """For the page."""
    widths = "-".join(map(str, self.conv_widths)), "-".join(map(str, self.dense_widths))
    return (
      f"{self.source}, {'x'.join(map(str, self.input_shape))}; CNN of convolutions {widths[0]} and "
      f"dense layers {widths[1]}, {self.flops.forward / 1e6:.1f} MFLOP per image forward; batches "
      f"of {self.batch_size}"
    )


def load(options: argparse.Namespace, num_images: int) -> Workload:
  """The images that the flags ask for.

  Args:
    options: The common flags.
    num_images: How many random images to draw.
  """
  rng = np.random.default_rng(SEED)
  if options.synthetic:
    shape = (num_images, options.image_size, options.image_size, 1)
    images = rng.integers(0, 256, shape, np.uint8)
    labels = rng.integers(0, _SYNTHETIC_CLASSES, num_images).astype(np.int32)
    source, num_classes = "random images", _SYNTHETIC_CLASSES
  else:
    spec = loading.DataSpec(
      dataset="brain_tumor",
      task=options.task,
      data_dir=options.data_dir,
      image_size=options.image_size,
    )
    found = loading.load(spec, cache_dir=options.cache_dir, progress=say)
    order = rng.permutation(len(found))
    images, labels = found.images[order], found.labels[order].astype(np.int32)
    source, num_classes = f"brain tumour MRI ({options.task})", len(found.class_names)
  if len(labels) < 1:
    raise UserError("no images: a benchmark needs some")
  return Workload(
    source=source,
    images=images,
    labels=labels,
    num_classes=num_classes,
    conv_widths=cnn.parse_widths(options.conv_widths, 6, "conv_widths"),
    dense_widths=cnn.parse_widths(options.dense_widths, 4, "dense_widths"),
    batch_size=options.batch_size,
    cache_dir=options.cache_dir,
  )


def say(text: str) -> None:
  """Tells how far a benchmark is."""
  print(text, file=sys.stderr, flush=True)
