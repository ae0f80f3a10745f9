"""The cache of decoded images: pixels as one `.npy` that is mapped, the rest as `.npz`.

Nothing is pickled. Images of a large data set are never all in memory.
"""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import warnings

import numpy as np

from fedsafe_tff.data import remembered, sums
from fedsafe_tff.data.files import atomic_path, write_arrays
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.errors import Notice

_TEXTS = ("class_names", "names", "skipped", "patients", "sites", "kinds")
_REMEDY = "the images are read anew"
_OPTIONAL = ("published_test", "published_validation", "patients", "sites", "kinds", "inventory")


def write(path: pathlib.Path, image_set: ImageSet, cache_dir: str) -> None:
  """Writes `path`, an `.npz`, and the pixels beside it; mapped pixels are moved there.

  Args:
    path: In the cache.
    image_set: What to write.
    cache_dir: Folder of the cache, which remembers the hash of the pixels.
  """
  pixels = path.with_suffix(".npy")
  mapped = getattr(image_set.images, "filename", None)
  if mapped and pathlib.Path(mapped).parent == scratch(path).resolve():
    os.replace(mapped, pixels)
  else:
    with atomic_path(pixels) as temporary, temporary.open("wb") as file:
      np.save(file, image_set.images, allow_pickle=False)
  values = {
    field.name: getattr(image_set, field.name)
    for field in dataclasses.fields(image_set)
    if field.name != "images" and getattr(image_set, field.name) is not None
  }
  for name in _TEXTS:
    if name in values:
      values[name] = np.array(values[name], str)
  if "inventory" in values:
    values["inventory"] = np.array(json.dumps(values["inventory"]))
  values["pixel_hash"] = np.array(remembered.pixel_hash(_mapped(pixels), cache_dir))
  write_arrays(path, values)
  shutil.rmtree(scratch(path), ignore_errors=True)


def _mapped(pixels: pathlib.Path) -> np.ndarray:
  return np.load(pixels, mmap_mode="r", allow_pickle=False)


def read(path: pathlib.Path, cache_dir: str) -> ImageSet | None:
  """What `write` wrote; None where there is nothing, or not that any more."""
  if not path.is_file():
    return None
  try:
    with np.load(io.BytesIO(sums.read(path, _REMEDY)), allow_pickle=False) as archive:
      values = dict(archive)
    for name in _TEXTS:
      if name in values:
        values[name] = tuple(values[name].tolist())
    if "inventory" in values:
      values["inventory"] = json.loads(str(values["inventory"]))
    images = _mapped(path.with_suffix(".npy"))
    if remembered.pixel_hash(images, cache_dir) != str(values.pop("pixel_hash")):
      raise ValueError("pixels of other images")
    return ImageSet(**(dict.fromkeys(_OPTIONAL) | values | {"images": images}))
  except Exception as error:  # a damaged cache entry is as good as none
    told = isinstance(error, sums.Damaged)
    said = str(error) if told else f"{path} can't be used ({error}): {_REMEDY}"
    warnings.warn(said, Notice, stacklevel=2)
    path.unlink(missing_ok=True)
    return None


def scratch(path: pathlib.Path) -> pathlib.Path:
  """Folder beside `path` where unfinished decoding is kept."""
  return path.with_suffix(".unfinished")
