"""Flat uint8 files, one pair per client, that the client computation reads where it runs.

TFF then ships a client's number instead of its images. A shard is `NAME.images` (the pixels) and
`NAME.labels` (one byte each); the folder's name is a hash of all that decides its content.
"""

import dataclasses
import hashlib
import json
import pathlib
import warnings
from collections.abc import Mapping

import numpy as np

from fedsafe_tff.data import sums
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import Notice, UserError

SERVER = "adaptation"


def client_name(client: int) -> str:
  """Name of a client's shard."""
  return f"client_{client:05d}"


@dataclasses.dataclass(frozen=True)
class ShardStore:
  """A folder of shards.

  Attributes:
    directory: The folder.
    image_shape: (height, width, channels).
    sizes: Number of images of each shard, by name.
  """

  directory: str
  image_shape: tuple[int, int, int]
  sizes: dict[str, int]


def build(
  cache_dir: str, data_hash: str, parts: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> ShardStore:
  """Writes the shards, or finds them complete.

  Args:
    cache_dir: Folder of the cache.
    data_hash: `ImageSet.content_hash` of the image set that the parts come from.
    parts: Name to (images uint8 [n, h, w, c], labels [n]).

  Raises:
    UserError: The folder can't be written, or a label needs more than a byte.
  """
  digest = hashlib.sha256(data_hash.encode())
  for name, (images, labels) in parts.items():
    digest.update(f"{name}/{images.shape}".encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels, np.int64).tobytes())
  folder = pathlib.Path(cache_dir).expanduser().resolve() / "shards" / digest.hexdigest()[:24]
  shape = next(iter(parts.values()))[0].shape[1:]
  store = ShardStore(str(folder), tuple(shape), {n: len(p[1]) for n, p in parts.items()})
  if complete(store):
    return store
  for name, (images, labels) in parts.items():
    if len(labels) and (labels.min() < 0 or labels.max() > 255):
      raise UserError(f"labels from {labels.min()} to {labels.max()}: shards hold 0 to 255")
    for suffix, array in (("images", images), ("labels", labels)):
      with atomic_path(folder / f"{name}.{suffix}", summed=True) as temporary:
        temporary.write_bytes(np.ascontiguousarray(array, np.uint8).tobytes())
  write_index(store)
  return store


def write_index(store: ShardStore) -> None:
  """Says that a store is complete, and what its files are."""
  facts = {"image_shape": store.image_shape, "sizes": store.sizes}
  with atomic_path(pathlib.Path(store.directory) / "index.json", summed=True) as temporary:
    temporary.write_text(json.dumps(facts))


def complete(store: ShardStore) -> bool:
  """Whether the files of a store are there, and are those that were written, byte by byte."""
  folder = pathlib.Path(store.directory)
  if not (folder / "index.json").is_file():
    return False
  try:
    index = json.loads(sums.read(folder / "index.json"))
    names = [f"{name}.{suffix}" for name in store.sizes for suffix in ("images", "labels")]
    if index["sizes"] != store.sizes or not all(sums.known(folder / name) for name in names):
      return False  # of an older version
    for name in names:
      sums.check(folder / name, "it is written anew")
    return True
  except (OSError, ValueError, KeyError, TypeError, sums.Damaged) as error:
    warnings.warn(f"prepared images: {error}", Notice, stacklevel=2)
    return False
