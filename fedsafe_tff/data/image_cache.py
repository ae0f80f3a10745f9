"""The cache of decoded images: pixels as one `.npy` that is mapped, the rest as `.npz`.

Nothing is pickled. Images of a large data set are never all in memory.
"""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.data.image_set import ImageSet

_TEXTS = ("class_names", "names", "skipped", "patients", "sites", "kinds")
_OPTIONAL = ("published_test", "published_validation", "patients", "sites", "kinds", "inventory")


def write(path: pathlib.Path, image_set: ImageSet) -> None:
  """Writes `path`, an `.npz`, and the pixels beside it; mapped pixels are moved there."""
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
  with atomic_path(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **values)
  shutil.rmtree(scratch(path), ignore_errors=True)


def read(path: pathlib.Path) -> ImageSet | None:
  """What `write` wrote; None where there is nothing, or it is damaged."""
  if not path.is_file():
    return None
  try:
    with np.load(path, allow_pickle=False) as archive:
      values = dict(archive)
    for name in _TEXTS:
      if name in values:
        values[name] = tuple(values[name].tolist())
    if "inventory" in values:
      values["inventory"] = json.loads(str(values["inventory"]))
    images = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    if len(images) != len(values["labels"]):
      raise ValueError("pixels of other images")
    return ImageSet(**(dict.fromkeys(_OPTIONAL) | values | {"images": images}))
  except Exception:  # a damaged cache entry is as good as none
    path.unlink(missing_ok=True)
    return None


def scratch(path: pathlib.Path) -> pathlib.Path:
  """Folder beside `path` where unfinished decoding is kept."""
  return path.with_suffix(".unfinished")
