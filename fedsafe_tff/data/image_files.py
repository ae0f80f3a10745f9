"""From image files whose classes are known to an `ImageSet`."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.data import inventory
from fedsafe_tff.data.belonging import join_groups
from fedsafe_tff.data.chunk import fingerprints
from fedsafe_tff.data.decoding import decode_files
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.hash_links import groups_of
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.errors import UserError

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """One file: its path, its name in reports, its class and its published part.

  Attributes:
    path: Where it is.
    name: Its name in reports.
    label: Its class.
    test: Whether it is in the data set's own test part.
    validation: Whether it is in its own validation part.
    patient: Pseudonym of the patient, "" where the file itself may tell.
    site: The hospital, "" where the file itself may tell.
  """

  path: pathlib.Path
  name: str
  label: int
  test: bool = False
  validation: bool = False
  patient: str = ""
  site: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
  """What all readers of image files are told.

  Attributes:
    image_size: Side of the square result in pixels; 0 takes the data set's own.
    skip_bad_images: Go on without images that can't be read.
    reading: How files are read.
    scratch: Folder for unfinished decoding, or None.
    progress: Is told how far it is.
  """

  image_size: int = 0
  skip_bad_images: bool = False
  reading: Reading = Reading()
  scratch: pathlib.Path | None = None
  progress: Progress | None = None


def require_folder(folder: str | pathlib.Path, layout: str) -> pathlib.Path:
  """The folder as a path; raises a UserError that names the layout when it is not there."""
  if not str(folder):
    raise UserError(f"--data_dir is missing: give a folder with the layout {layout}")
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise UserError(f"--data_dir={folder} is not a folder: expected the layout {layout}")
  try:
    empty = not any(path.iterdir())
  except OSError as error:
    raise UserError(f"--data_dir={folder} can't be listed ({error.strerror or error})") from None
  if empty:
    raise UserError(f"--data_dir={folder} is empty: expected the layout {layout}")
  return path


def names_in(folder: pathlib.Path, most: int = 6) -> str:
  """What a folder holds, for an error."""
  names = sorted(entry.name for entry in folder.iterdir())
  more = ", ..." if len(names) > most else ""
  return f"{', '.join(names[:most]) or 'nothing'}{more} in {folder}"


@dataclasses.dataclass(frozen=True)
class Listing:
  """Files to read, and what was found beside them."""

  files: tuple[ImageFile, ...]
  left_out: tuple[tuple[str, str], ...] = ()
  litter: int = 0


def list_parts(
  root: pathlib.Path,
  parts: Sequence[tuple[str, bool]],
  classes: Sequence[Sequence[str]],
  layout: str,
) -> Listing:
  """Files of `root/part/class` for every part (name, is it the test part) and class.

  Args:
    root: The folder.
    parts: Name of each part's folder, and whether it is the test part.
    classes: Names that each class's folder may have; the first one is the usual.
    layout: What is expected, in words.
  """
  files: list[ImageFile] = []
  left_out: list[tuple[str, str]] = []
  litter = 0
  for part, test in parts:
    for label, names in enumerate(classes):
      folder = next((root / part / n for n in names if (root / part / n).is_dir()), None)
      if folder is None:
        raise UserError(
          f"{root} has no folder {part}/{names[0]}: expected the layout {layout}, found "
          + names_in(root / part if (root / part).is_dir() else root)
        )
      found = inventory.walk(folder)
      if not found.files:
        raise UserError(f"{folder} holds no images: expected {layout}")
      above = f"{part}/{folder.name}/"
      files += [ImageFile(f.path, above + f.name, label, test) for f in found.files]
      left_out += [(above + name, reason) for name, reason in found.left_out]
      litter += found.litter
  return Listing(tuple(files), tuple(left_out), litter)


def read_files(
  listing: Listing,
  *,
  class_names: Sequence[str],
  channels: int | None,
  options: Options,
  facts: dict[str, Any] | None = None,
) -> ImageSet:
  """Decodes and resizes files; near-duplicates are found on the images before resizing.

  Args:
    listing: What to read.
    class_names: Name of each class.
    channels: 1 or 3; None takes 1 where every image is gray.
    options: How; its `image_size` is the side of the square result.
    facts: More for the inventory, such as the layout.

  Returns:
    The images in the order of the files, with the inventory.

  Raises:
    UserError: An image can't be read and `skip_bad_images` is off; it is named.
  """
  files = listing.files
  decoded = decode_files(
    [(str(file.path), file.name) for file in files],
    image_size=options.image_size,
    channels=channels,
    reading=options.reading,
    scratch=options.scratch,
    progress=options.progress,
  )
  for number, reason, is_image in decoded.left_out:
    if is_image and not options.skip_bad_images:
      raise UserError(
        f"image {files[number].path} can't be read ({reason}): replace it, or go on without such "
        "images with --skip_bad_images"
      )
  rows = decoded.rows
  if not len(rows["number"]):
    raise UserError("none of the images can be read: check --data_dir")
  numbers = rows["number"].tolist()
  left_out = [(files[i].name, reason) for i, reason, _ in decoded.left_out]
  left_out = sorted([*left_out, *listing.left_out])
  patients = _told([files[i].patient for i in numbers], rows["patient"])
  sites = _told([files[i].site for i in numbers], rows["site"])
  pages = [f"{i}" for i in numbers] if len(set(numbers)) < len(numbers) else ()
  groups = groups_of(fingerprints(rows))
  return ImageSet(
    images=decoded.pixels,
    labels=np.array([files[i].label for i in numbers], np.int32),
    class_names=tuple(class_names),
    names=tuple(
      f"{files[i].name} {part}".rstrip() for i, part in zip(numbers, rows["part"].tolist())
    ),
    groups=join_groups(groups, *(k for k in (patients, pages) if k)),
    exact=rows["exact"],
    published_test=np.array([files[i].test for i in numbers], bool),
    source_sizes=rows["size"].astype(np.int32),
    skipped=tuple(name for name, _ in left_out),
    published_validation=_some(np.array([files[i].validation for i in numbers], bool)),
    patients=patients,
    sites=sites,
    kinds=tuple(rows["kind"].tolist()),
    inventory=inventory.facts(
      found=len(files) + len(listing.left_out),
      loaded=len(set(numbers)),
      images=len(numbers),
      left_out=left_out,
      litter=listing.litter,
      empty_slices=decoded.empty,
      windows={name: list(ends) for name, ends in decoded.windows.items()},
      **(facts or {}),
    ),
  )


def _told(given: list[str], own: np.ndarray) -> tuple[str, ...] | None:
  """What was given of each image, else what its file says; None where neither says anything."""
  joined = tuple(g or o for g, o in zip(given, own.tolist()))
  return joined if any(joined) else None


def _some(flags: np.ndarray) -> np.ndarray | None:
  return flags if flags.any() else None
