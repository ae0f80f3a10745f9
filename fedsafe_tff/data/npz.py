"""A user's own arrays, in one `.npz` file; MedMNIST's archives too."""

import pathlib
from typing import Any

import numpy as np
import PIL.Image

from fedsafe_tff.data import inventory
from fedsafe_tff.data.belonging import join_groups
from fedsafe_tff.data.formats import npy
from fedsafe_tff.data.formats.frame import DEFAULT, Reading, Unreadable, pseudonym
from fedsafe_tff.data.formats.opening import open_regular, shown
from fedsafe_tff.data.hash_links import groups_of
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.near_duplicates import hash_image
from fedsafe_tff.data.spec import DataSpec
from fedsafe_tff.errors import UserError

LAYOUT = (
  "images (uint8 [n, h, w] or [n, h, w, c]) and labels (int [n]); optional class_names, groups, "
  "published_test, published_validation, patients, sites; or MedMNIST's train_images, "
  "train_labels, and so on"
)
_PARTS = ("train", "val", "test")
_OPTIONAL = {
  "groups": ("iu", "whole numbers"),
  "published_test": ("biu", "true or false"),
  "published_validation": ("biu", "true or false"),
  "patients": ("iuU", "text or whole numbers"),
  "sites": ("iuU", "text or whole numbers"),
}


def load(path: str, *, image_size: int, reading: Reading = DEFAULT) -> ImageSet:
  """Reads the arrays; near-duplicates are searched where no `groups` are given.

  Labels are ids: the classes are those that occur.

  Raises:
    UserError: The file is missing or its arrays don't fit.
  """
  file = pathlib.Path(path).expanduser()
  if not path or not file.is_file():
    raise UserError(f"--data_dir={path} is not a file: npz needs a file with {LAYOUT}")
  try:
    with open_regular(file) as opened:
      arrays = npy.read(opened, reading)
  except Unreadable as error:
    raise UserError(f"{file} can't be read as npz ({error}): expected {LAYOUT}") from None
  empty = 0
  if "train_images" in arrays:
    arrays, empty = _medmnist(file, arrays)
  missing = {"images", "labels"} - set(arrays)
  if missing:
    raise UserError(f"{file} has no {', '.join(sorted(missing))}: expected {LAYOUT}")
  images, labels = arrays["images"], arrays["labels"]
  if images.ndim == 3:
    images = images[..., np.newaxis]
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
    raise UserError(
      f"{file} has images of shape {images.shape} and type {images.dtype}: expected {LAYOUT} with "
      "c of 1 or 3"
    )
  if len(images) and 0 in images.shape:
    raise UserError(f"{file} has images of shape {images.shape}, which has no pixel: {LAYOUT}")
  if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
    raise UserError(
      f"{file} has {len(images)} images and labels of shape {labels.shape} and type "
      f"{labels.dtype}: expected an integer label per image"
    )
  if not len(labels):
    raise UserError(f"{file} holds no images: expected {LAYOUT}")
  labels, names = _classes(file, labels, arrays.get("class_names"))
  for optional, (kinds, expected) in _OPTIONAL.items():
    if optional not in arrays:
      continue
    if arrays[optional].shape != labels.shape:
      raise UserError(f"{file} has {optional} of another length than labels: give one per image")
    if arrays[optional].dtype.kind not in kinds:
      raise UserError(
        f"{file} has {optional} of type {arrays[optional].dtype}: expected {expected}"
      )
  sizes = np.tile(np.array(images.shape[1:3], np.int32), [len(images), 1])
  pictures = [PIL.Image.fromarray(i[..., 0] if i.shape[-1] == 1 else i) for i in images]
  # Before resizing: two images may differ in what resizing takes away.
  exact = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)[1].ravel()
  groups = arrays.get("groups")
  if groups is None:
    groups = groups_of([hash_image(picture) for picture in pictures])
  if image_size and images.shape[1:3] != (image_size, image_size):
    side, way = (image_size, image_size), PIL.Image.Resampling.BICUBIC  # `registry` tells of it
    images = np.stack([np.asarray(p.resize(side, way)) for p in pictures])
    images = images.reshape(len(labels), image_size, image_size, -1)
  patients, sites = _patients(arrays), _texts(arrays.get("sites"))
  return ImageSet(
    images=images,
    labels=labels.astype(np.int32),
    class_names=names,
    names=tuple(f"{file.name}/{i}" for i in range(len(labels))),
    groups=join_groups(groups.astype(np.int64), *([patients] if patients else [])),
    exact=exact,
    published_test=_flags(arrays, "published_test"),
    source_sizes=sizes,
    published_validation=_flags(arrays, "published_validation"),
    patients=patients,
    sites=sites,
    inventory=inventory.facts(
      found=1, loaded=1, images=len(labels), left_out=(), empty_slices=empty
    ),
  )


def from_spec(spec: DataSpec, options: Options) -> ImageSet:
  """Loads what a spec says; see `load`."""
  return load(spec.data_dir, image_size=options.image_size, reading=options.reading)


def _classes(file: pathlib.Path, labels: np.ndarray, names: np.ndarray | None):
  """Labels from 0 to K-1 over the classes that occur, and their names."""
  ids, numbers = np.unique(labels, return_inverse=True)
  if ids[0] < 0 or len(ids) < 2:
    raise UserError(
      f"{file} has labels from {ids[0]} to {ids[-1]}: expected at least two classes, from 0 on"
    )
  if names is None:
    return numbers, tuple(f"class {i}" for i in ids.tolist())
  names = [shown(str(name)) for name in np.atleast_1d(names).ravel().tolist()]
  if len(names) == len(ids):
    return numbers, tuple(names)
  if int(ids[-1]) >= len(names):
    raise UserError(
      f"{file} names {len(names)} classes, but its labels need {len(ids)}, up to {ids[-1]}"
    )
  return numbers, tuple(names[i] for i in ids.tolist())


def _flags(arrays: dict[str, np.ndarray], name: str) -> np.ndarray | None:
  return arrays[name].astype(bool) if name in arrays else None


def _texts(values: np.ndarray | None) -> tuple[str, ...] | None:
  return None if values is None else tuple(shown(str(value)) for value in values.tolist())


def _patients(arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
  if "patients" not in arrays:
    return None
  return tuple(pseudonym(str(value)) for value in arrays["patients"].tolist())


def _medmnist(file: pathlib.Path, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], int]:
  """MedMNIST's arrays by part as ours; volumes are cut into slices, a patient each."""
  joined: dict[str, list[np.ndarray]] = {}
  empty = volumes = 0
  for part in _PARTS:
    images, labels = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
    if images is None or labels is None:
      continue
    if images.ndim < 3 or images.dtype != np.uint8 or 0 in images.shape[1:]:
      raise UserError(
        f"{file} has {part}_images of shape {images.shape} and type {images.dtype}: expected "
        f"{LAYOUT}"
      )
    if not np.issubdtype(labels.dtype, np.integer) or not labels.ndim:
      raise UserError(
        f"{file} has {part}_labels of shape {labels.shape} and type {labels.dtype}: expected an "
        "integer label per image"
      )
    if labels.ndim == 2 and labels.shape[1] > 1:
      raise UserError(
        f"{file} gives {labels.shape[1]} labels per image: choose one of them and save an npz with "
        "images and labels"
      )
    if labels.size != len(images) or len(labels) != len(images):
      raise UserError(
        f"{file} has {len(images)} {part}_images and {part}_labels of shape {labels.shape}: "
        "expected a label per image"
      )
    labels = labels.reshape(len(labels))
    if images.ndim > 5 or images.ndim == 5 and images.shape[-1] != 1:
      raise UserError(f"{file} has {part}_images of shape {images.shape}: expected {LAYOUT}")
    if images.ndim == 4 and images.shape[-1] not in (1, 3) or images.ndim == 5:
      cut = images.reshape(*images.shape[:4])
      patients = np.repeat(np.arange(len(cut)) + volumes, cut.shape[1])
      volumes += len(cut)
      labels = np.repeat(labels, cut.shape[1])
      images = cut.reshape(-1, *cut.shape[2:])
      full = images.reshape(len(images), -1)
      kept = full.min(1) != full.max(1)
      empty += int((~kept).sum())
      images, labels = images[kept], labels[kept]
      joined.setdefault("patients", []).append(patients[kept])
    joined.setdefault("images", []).append(images)
    joined.setdefault("labels", []).append(labels)
    joined.setdefault("published_test", []).append(np.full(len(labels), part == "test"))
    joined.setdefault("published_validation", []).append(np.full(len(labels), part == "val"))
  shapes = {tuple(images.shape[1:]) for images in joined.get("images", [])}
  if len(shapes) > 1 or len({len(parts) for parts in joined.values()}) > 1:
    raise UserError(f"{file} has parts of other shapes ({sorted(shapes)}): save all with one shape")
  found = {name: np.concatenate(parts) for name, parts in joined.items()}
  for name in ("published_test", "published_validation"):
    if name in found and not found[name].any():
      del found[name]
  if "class_names" in arrays:
    found["class_names"] = arrays["class_names"]
  return found, empty
