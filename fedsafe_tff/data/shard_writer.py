"""Writes shards from rows of an image set, a piece at a time, without holding a client's images.

The folder is named by the data's hash, the rows and what is done to them: to find it again takes no
look at a pixel.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.mapped import give_back
from fedsafe_tff.data.shards import ShardStore, complete, write_index
from fedsafe_tff.errors import UserError

_VERSION = 1
_ROWS = 512  # a page that is touched brings its neighbours along, 64 KiB a row
Change = Callable[[np.ndarray], np.ndarray]


def build_from_rows(
  cache_dir: str,
  data_hash: str,
  image_set: ImageSet,
  parts: Mapping[str, np.ndarray],
  *,
  changes: Mapping[str, Change] | None = None,
  change_key: Any = None,
) -> ShardStore:
  """Writes the shards, or finds them complete.

  Args:
    cache_dir: Folder of the cache.
    data_hash: Hash of the image set.
    image_set: The images.
    parts: Name to indices.
    changes: Name to a function that changes its images, uint8 [n, h, w, c], a piece at a time.
    change_key: All that decides what the changes do, as JSON has it.

  Raises:
    UserError: The folder can't be written, or a label needs more than a byte.
  """
  labels = image_set.labels
  if len(labels) and (labels.min() < 0 or labels.max() > 255):
    raise UserError(f"labels from {labels.min()} to {labels.max()}: shards hold 0 to 255")
  digest = hashlib.sha256(json.dumps([_VERSION, data_hash, change_key]).encode())
  for name, rows in parts.items():
    digest.update(f"{name}/{len(rows)}".encode())
    digest.update(np.ascontiguousarray(rows, np.int64).tobytes())
  folder = pathlib.Path(cache_dir).expanduser().resolve() / "shards" / digest.hexdigest()[:24]
  sizes = {name: len(rows) for name, rows in parts.items()}
  store = ShardStore(str(folder), image_set.image_shape, sizes)
  if complete(store):
    return store
  _write(pathlib.Path(store.directory), image_set, parts, changes or {})
  write_index(store)
  return store


def _write(
  folder: pathlib.Path,
  image_set: ImageSet,
  parts: Mapping[str, np.ndarray],
  changes: Mapping[str, Change],
) -> None:
  for name, rows in parts.items():
    change = changes.get(name)
    images = folder / f"{name}.images"
    with atomic_path(images, summed=True) as temporary, temporary.open("wb") as file:
      for start in range(0, len(rows), _ROWS):
        piece = np.asarray(image_set.images[rows[start : start + _ROWS]])
        piece = piece if change is None else change(piece)
        file.write(np.ascontiguousarray(piece, np.uint8).data)
        give_back(image_set.images)
    with atomic_path(folder / f"{name}.labels", summed=True) as temporary:
      temporary.write_bytes(image_set.labels[rows].astype(np.uint8).tobytes())
