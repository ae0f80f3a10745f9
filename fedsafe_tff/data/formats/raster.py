"""Pictures that Pillow reads: PNG, JPEG, WebP, BMP, GIF, TIFF, JPEG 2000, AVIF, PNM.

Orientation from EXIF and TIFF tags is applied, palettes and CMYK become RGB, 1-bit images gray, and
transparent pixels are laid on black or white. Colour profiles are not applied.
"""

import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from fedsafe_tff.data.formats.frame import Contents, Frame, Reading, Unreadable

# Named one by one: Pillow would hand EPS to another program.
PIL.Image.init()
FORMATS = tuple(
  name
  for name in (
    "PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TIFF", "JPEG2000", "AVIF", "PPM",
  )
  if name in PIL.Image.OPEN
)  # fmt: skip
_BITS, _SAMPLE_FORMAT, _PHOTOMETRIC, _ORIENTATION = 258, 339, 262, 274
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError,
           OverflowError, RuntimeError, PIL.Image.DecompressionBombError)  # fmt: skip


def read(file: BinaryIO, reading: Reading) -> Contents:
  """Every frame of a picture.

  Raises:
    Unreadable: It is damaged, too large, or of a kind that Pillow does not show.
  """
  # Our own limit is checked on the header; Pillow's must not be lower.
  if PIL.Image.MAX_IMAGE_PIXELS and reading.max_pixels > PIL.Image.MAX_IMAGE_PIXELS:
    PIL.Image.MAX_IMAGE_PIXELS = reading.max_pixels
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
      with PIL.Image.open(file, formats=FORMATS) as image:
        return Contents(list(_frames(image, reading)))
    except _BROKEN as error:
      raise Unreadable(_reason(error)) from None


def _reason(error: Exception) -> str:
  if isinstance(error, PIL.UnidentifiedImageError):
    return "it is damaged or of a kind that Pillow does not read"
  return " ".join(str(error).split())[:200] or type(error).__name__


def _frames(image: PIL.Image.Image, reading: Reading) -> Iterator[Frame]:
  count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
  pixel_bytes = 4 if image.mode[0] in "IF" else len(image.getbands())
  reading.check_size(image.height, image.width, count, pixel_bytes)
  for number in range(count):
    if count > 1:
      image.seek(number)
      reading.check_size(image.height, image.width)
    yield _frame(image, f"page {number + 1}" if count > 1 else "", reading)


def _frame(image: PIL.Image.Image, part: str, reading: Reading) -> Frame:
  tags = getattr(image, "tag_v2", {})
  stored = image.mode
  bits = max(tags.get(_BITS, (0,)) or (0,)) or _bits(stored)
  unsigned = bits == 32 and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1 and stored == "I"
  white_is_zero = bool(tags) and tags.get(_PHOTOMETRIC) == 0
  image.load()
  kind = f"{image.format} {bits} bit"
  turned = image
  if image.getexif().get(_ORIENTATION, 1) != 1:
    turned = PIL.ImageOps.exif_transpose(image)
  if stored[0] in "IF":
    values = np.array(turned)
    if unsigned:
      values = values.view(np.uint32)
    # Pillow inverts such images of 8 bits or fewer by itself.
    return Frame(values, part, inverted=white_is_zero, series=_stack(part), kind=kind)
  return Frame(np.asarray(_flat(turned, reading)), part, kind=kind)


def _stack(part: str) -> str:
  return "stack" if part else ""


def _bits(mode: str) -> int:
  if mode == "1":
    return 1
  return 16 if mode.startswith("I;16") else 32 if mode in ("I", "F") else 8


def _flat(image: PIL.Image.Image, reading: Reading) -> PIL.Image.Image:
  """L or RGB."""
  if image.has_transparency_data:
    image = image.convert("RGBA")
    under = PIL.Image.new("RGBA", image.size, reading.transparency)
    return PIL.Image.alpha_composite(under, image).convert("RGB")
  if image.mode == "1":
    return image.convert("L")
  if image.mode in ("L", "RGB"):
    return image
  return image.convert("RGB")
