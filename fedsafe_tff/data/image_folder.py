"""A user's own images: `data_dir/{class}/*`, or `data_dir/{train,test}/{class}/*`."""

import dataclasses

from fedsafe_tff.data.image_files import Progress, list_parts, names_in, read_files, require_folder
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.errors import UserError

LAYOUT = "{class}/*.jpg or {train,test}/{class}/*.jpg"
DEFAULT_SIZE = 100


def load(
  data_dir: str,
  *,
  image_size: int,
  skip_bad_images: bool,
  progress: Progress | None = None,
) -> ImageSet:
  """Reads class folders; gray where every image is gray, else RGB.

  Raises:
    UserError: Fewer than two classes, an empty class, an unreadable image.
  """
  root = require_folder(data_dir, LAYOUT)
  split = (root / "train").is_dir() and (root / "test").is_dir()
  parts = (("train", False), ("test", True)) if split else ((".", False),)
  first = root / parts[0][0]
  classes = sorted(p.name for p in first.iterdir() if p.is_dir() and not p.name.startswith("."))
  if split:
    extra = sorted(
      p.name for p in (root / "test").iterdir()
      if p.is_dir() and not p.name.startswith(".") and p.name not in classes
    )
    if extra:
      raise UserError(
        f"{root}/test has class folders that {root}/train lacks: {', '.join(extra[:6])}; expected "
        f"the same classes in both, as in {LAYOUT}"
      )
  if len(classes) < 2:
    raise UserError(
      f"{first} has {len(classes)} class folders, at least 2 are needed: expected {LAYOUT}, found "
      + names_in(first)
    )
  image_set = read_files(
    list_parts(root, parts, classes, LAYOUT),
    class_names=classes,
    image_size=image_size or DEFAULT_SIZE,
    channels=None,
    skip_bad_images=skip_bad_images,
    progress=progress,
  )
  return image_set if split else dataclasses.replace(image_set, published_test=None)
