"""Small results of long computations on the images, kept in the cache folder as JSON."""

import hashlib
import inspect
import json
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff.data import image_set as image_set_lib
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import atomic_path, changed_at
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.mapped import sparing
from fedsafe_tff.errors import Notice


def remember(cache_dir: str, name: str, key: str, compute: Callable[[], Any]) -> Any:
  """What `compute` returns, from the cache if it was asked for before under this key.

  Args:
    cache_dir: Folder of the cache.
    name: What it is.
    key: All that decides the result.
    compute: Returns something that JSON holds.
  """
  digest = hashlib.sha256(key.encode()).hexdigest()[:24]
  path = pathlib.Path(cache_dir).expanduser() / "remembered" / f"{name}-{digest}.json"
  try:
    return json.loads(sums.read(path))
  except FileNotFoundError:
    pass
  except (OSError, ValueError, sums.Damaged):
    warnings.warn(f"{path} is damaged: it is made anew", Notice, stacklevel=2)
  value = compute()
  with atomic_path(path, summed=True) as temporary:
    temporary.write_text(json.dumps(value))
  return value


def content_hash(image_set: ImageSet, cache_dir: str) -> str:
  """`image_set.content_hash()`; of images that are mapped from a file these are read once."""
  return image_set.content_hash(pixel_hash(image_set.images, cache_dir))


def pixel_hash(images: np.ndarray, cache_dir: str) -> str:
  """`image_set.pixel_hash`; of images that are mapped from a file it is computed once."""
  mapped = getattr(images, "filename", None)
  if mapped is None:
    return image_set_lib.pixel_hash(images)
  facts = pathlib.Path(mapped).stat()
  # The definition too is a part of the key: a changed one must not find what the old one gave.
  parts = [mapped, *changed_at(facts), inspect.getsource(image_set_lib.pixel_hash)]

  def compute() -> str:
    with sparing(images):
      return image_set_lib.pixel_hash(images)

  return remember(cache_dir, "pixel_hash", "\0".join(map(str, parts)), compute)


def rows_key(*rows: np.ndarray) -> str:
  """A key of index arrays."""
  digest = hashlib.sha256()
  for part in rows:
    digest.update(f"{len(part)}/".encode())
    digest.update(np.ascontiguousarray(part, np.int64).tobytes())
  return digest.hexdigest()
