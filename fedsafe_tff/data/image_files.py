"""Finds, decodes and resizes image files in class folders."""

import concurrent.futures
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image

from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.near_duplicates import HashPair, hash_image, near_groups
from fedsafe_tff.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """One file: its path, its name in reports, its class and its published part."""

  path: pathlib.Path
  name: str
  label: int
  test: bool


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


def list_class(folder: pathlib.Path, root: pathlib.Path, label: int, test: bool) -> list[ImageFile]:
  """The image files of one class folder, sorted by name."""
  return [
    ImageFile(path, str(path.relative_to(root)), label, test)
    for path in sorted(folder.iterdir())
    if path.suffix.lower() in SUFFIXES
  ]


def list_parts(
  root: pathlib.Path,
  parts: Sequence[tuple[str, bool]],
  classes: Sequence[str],
  layout: str,
) -> list[ImageFile]:
  """Files of `root/part/class` for every part (name, is it the test part) and class."""
  files: list[ImageFile] = []
  for part, test in parts:
    for label, name in enumerate(classes):
      folder = root / part / name
      if not folder.is_dir():
        raise UserError(
          f"{root} has no folder {part}/{name}: expected the layout {layout}, found "
          + names_in(root / part if (root / part).is_dir() else root)
        )
      found_files = list_class(folder, root, label, test)
      if not found_files:
        raise UserError(f"{folder} holds no images ({', '.join(SUFFIXES)}): expected {layout}")
      files += found_files
  return files


@dataclasses.dataclass(frozen=True)
class _Decoded:
  pixels: np.ndarray
  size: tuple[int, int]
  exact: int
  hashes: HashPair
  gray: bool


def _decode(file: ImageFile, image_size: int, channels: int) -> _Decoded | str:
  try:
    with PIL.Image.open(file.path) as image:
      image.load()
      if image.mode.startswith(("I", "F")):  # Pillow would clip these to white without a word
        return f"pixels of mode {image.mode}, expected 8 bits per channel: convert it to 8 bits"
      source = np.asarray(image.convert("RGB"))
      gray = bool((source == source[..., :1]).all())
      mode = "L" if channels == 1 else "RGB"
      resized = image.convert(mode).resize((image_size, image_size), PIL.Image.Resampling.BILINEAR)
      digest = hashlib.sha256(str(source.shape).encode() + source.tobytes()).digest()
      return _Decoded(
        pixels=np.asarray(resized, np.uint8).reshape(image_size, image_size, channels),
        size=source.shape[:2],
        exact=int.from_bytes(digest[:8], "little", signed=True),
        hashes=hash_image(image),
        gray=gray,
      )
  except (OSError, ValueError, SyntaxError, EOFError, PIL.Image.DecompressionBombError) as error:
    return " ".join(str(error).split()) or type(error).__name__


def read_files(
  files: Sequence[ImageFile],
  *,
  class_names: Sequence[str],
  image_size: int,
  channels: int | None,
  skip_bad_images: bool,
  progress: Progress | None = None,
) -> ImageSet:
  """Decodes and resizes files; near-duplicates are found on the source images.

  Args:
    files: What to read.
    class_names: Name of each class.
    image_size: Side of the square result, in pixels.
    channels: 1 or 3; None takes 1 where every image is gray.
    skip_bad_images: Go on without images that can't be read.
    progress: Is told how far it is.

  Returns:
    The images in the order of `files`.

  Raises:
    UserError: An image can't be read and `skip_bad_images` is off; it is named.
  """
  decoded: list[tuple[ImageFile, _Decoded]] = []
  skipped = []
  wanted = 3 if channels is None else channels
  with concurrent.futures.ThreadPoolExecutor() as pool:
    made = pool.map(lambda file: _decode(file, image_size, wanted), files)
    for index, (file, result) in enumerate(zip(files, made)):
      if progress and index and index % 500 == 0:
        progress(f"read {index} of {len(files)} images")
      if isinstance(result, str):
        if not skip_bad_images:
          pool.shutdown(cancel_futures=True)
          raise UserError(
            f"image {file.path} can't be read ({result}): replace it, or go on without such "
            "images with --skip_bad_images"
          )
        skipped.append(file.name)
      else:
        decoded.append((file, result))
  if not decoded:
    raise UserError("none of the images can be read: check --data_dir")
  images = np.stack([d.pixels for _, d in decoded])
  if channels is None and all(d.gray for _, d in decoded):
    images = images[..., :1]
  return ImageSet(
    images=images,
    labels=np.array([f.label for f, _ in decoded], np.int32),
    class_names=tuple(class_names),
    names=tuple(f.name for f, _ in decoded),
    groups=near_groups([d.hashes for _, d in decoded]),
    exact=np.array([d.exact for _, d in decoded], np.int64),
    published_test=np.array([f.test for f, _ in decoded], bool),
    source_sizes=np.array([d.size for _, d in decoded], np.int32),
    skipped=tuple(skipped),
  )
