"""TIFF: through Pillow where it can, else through tifffile (floats of 64 bits, planes, BigTIFF)."""

from typing import BinaryIO

import numpy as np

from fedsafe_tff.data.formats import raster
from fedsafe_tff.data.formats.frame import Contents, Frame, MissingLibrary, Reading, Unreadable


def read(file: BinaryIO, reading: Reading) -> Contents:
  """Every page.

  Raises:
    Unreadable: Neither library reads it, or it is too large.
  """
  try:
    return raster.read(file, reading)
  except Unreadable as first:
    if "unpacks to" in str(first):
      raise
    file.seek(0)
    try:
      import tifffile
    except ImportError:
      raise MissingLibrary("this kind of TIFF", "tifffile") from None
    try:
      with tifffile.TiffFile(file) as stack:
        return Contents(_pages(stack.pages, reading))
    except Unreadable:
      raise
    except Exception as error:  # tifffile and its codecs raise many kinds
      raise Unreadable(f"tifffile can't read it ({type(error).__name__}), nor Pillow") from None


def _pages(pages, reading: Reading) -> list[Frame]:
  frames = []
  for page in pages:  # sizes stand in the header, and all are checked before any is unpacked
    reading.check_size(page.imagelength, page.imagewidth, len(pages), _pixel_bytes(page))
  for number, page in enumerate(pages):
    part = f"page {number + 1}" if len(pages) > 1 else ""
    values = np.squeeze(page.asarray())
    if values.ndim == 3 and values.shape[0] in (3, 4) and page.planarconfig == 2:
      values = np.moveaxis(values, 0, -1)
    kind = f"TIFF {page.bitspersample} bit"
    if values.ndim == 3 and values.shape[-1] >= 3 and page.photometric == 2:
      if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
      if values.dtype != np.uint8 or values.shape[-1] != 3:
        raise Unreadable(f"it has {values.shape[-1]} channels of type {values.dtype}")
      frames.append(Frame(np.ascontiguousarray(values), part, kind=kind))
    elif values.ndim == 2 and values.dtype.kind in "uif":
      inverted = page.photometric == 0
      frames.append(Frame(values, part, series=part and "stack", inverted=inverted, kind=kind))
    else:
      raise Unreadable(f"it has pixels of shape {values.shape} and type {values.dtype}")
  return frames


def _pixel_bytes(page) -> int:
  return max(1, page.bitspersample // 8) * page.samplesperpixel
