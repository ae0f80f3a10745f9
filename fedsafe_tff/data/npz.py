"""A user's own arrays, in one `.npz` file."""

import pathlib
import zipfile
import zlib

import numpy as np
import PIL.Image

from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.near_duplicates import hash_image, near_groups
from fedsafe_tff.errors import UserError

LAYOUT = (
  "images (uint8 [n, h, w] or [n, h, w, c]) and labels (int [n]); optional class_names, groups, "
  "published_test"
)


def load(path: str, *, image_size: int) -> ImageSet:
  """Reads the arrays; near-duplicates are searched where no `groups` are given.

  Raises:
    UserError: The file is missing or its arrays don't fit.
  """
  file = pathlib.Path(path).expanduser()
  if not path or not file.is_file():
    raise UserError(f"--data_dir={path} is not a file: npz needs a file with {LAYOUT}")
  try:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
      raise ValueError("it holds one array without a name")
    with archive:
      arrays = dict(archive)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
    raise UserError(f"{file} can't be read as npz ({error}): expected {LAYOUT}") from None
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
  if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
    raise UserError(
      f"{file} has {len(images)} images and labels of shape {labels.shape} and type "
      f"{labels.dtype}: expected an integer label per image"
    )
  if not len(labels):
    raise UserError(f"{file} holds no images: expected {LAYOUT}")
  classes = int(labels.max()) + 1
  if labels.min() < 0 or classes < 2:
    raise UserError(f"{file} has labels from {labels.min()} to {labels.max()}: expected 0 to K-1")
  names = arrays.get("class_names", np.array([f"class {k}" for k in range(classes)]))
  if names.shape != (classes,):
    raise UserError(f"{file} names {names.size} classes, but its labels need {classes}")
  for optional, kinds in (("groups", "iu"), ("published_test", "biu")):
    if optional not in arrays:
      continue
    if arrays[optional].shape != labels.shape:
      raise UserError(f"{file} has {optional} of another length than labels: give one per image")
    if arrays[optional].dtype.kind not in kinds:
      raise UserError(
        f"{file} has {optional} of type {arrays[optional].dtype}: expected "
        + ("whole numbers" if optional == "groups" else "true or false")
      )
  sizes = np.tile(np.array(images.shape[1:3], np.int32), [len(images), 1])
  pictures = [PIL.Image.fromarray(i[..., 0] if i.shape[-1] == 1 else i) for i in images]
  # Before resizing: two images may differ in what resizing takes away.
  exact = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)[1].ravel()
  groups = arrays.get("groups")
  if groups is None:
    groups = near_groups([hash_image(picture) for picture in pictures])
  if image_size and images.shape[1:3] != (image_size, image_size):
    images = np.stack([np.asarray(p.resize((image_size, image_size))) for p in pictures])
    images = images.reshape(len(labels), image_size, image_size, -1)
  return ImageSet(
    images=images,
    labels=labels.astype(np.int32),
    class_names=tuple(str(name) for name in names),
    names=tuple(f"{file.name}/{i}" for i in range(len(labels))),
    groups=groups.astype(np.int64),
    exact=exact,
    published_test=arrays["published_test"].astype(bool) if "published_test" in arrays else None,
    source_sizes=sizes,
  )
