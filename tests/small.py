"""A small model and shards that tests of the algorithm share."""

import numpy as np

from fedsafe_tff.data import shards
from fedsafe_tff.models.cnn import build_cnn

SHAPE = (16, 16, 1)
SIZES = (20, 33, 11)


def model(**keywords):
  """A CNN of the paper's form with few units."""
  settings = {"conv_widths": (4, 4, 4, 4, 8, 8), "dense_widths": (8, 8, 8, 8)} | keywords
  return build_cnn(input_shape=SHAPE, num_classes=2, **settings)


def images(count: int, seed: int):
  """Images whose brightness tells the class."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 2, count)
  noise = rng.integers(0, 120, (count, *SHAPE))
  return (noise + 100 * labels[:, None, None, None]).astype(np.uint8), labels


def store(folder) -> shards.ShardStore:
  """Shards of three clients and of the server."""
  parts = {shards.client_name(i): images(n, i) for i, n in enumerate(SIZES)}
  return shards.build(str(folder), "small", parts | {shards.SERVER: images(17, 9)})
