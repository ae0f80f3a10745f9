"""From a file to its frames: the kind is told by the first bytes, not by the name."""

import os
from typing import BinaryIO

from fedsafe_tff.data.formats import dicom, nifti, raster, tiff
from fedsafe_tff.data.formats.frame import Contents, Reading, Unreadable
from fedsafe_tff.data.formats.opening import open_regular, suffix_of

# What is not decoded here although its name promises an image; whoever has such files is told.
_OTHER_IMAGES = {
  ".mha": "MetaImage", ".mhd": "MetaImage", ".nrrd": "NRRD", ".nhdr": "NRRD", ".heic": "HEIC",
  ".heif": "HEIC", ".svs": "a whole slide", ".ndpi": "a whole slide", ".mrxs": "a whole slide",
  ".svg": "a drawing", ".hdr": "a NIfTI pair", ".img": "a NIfTI pair", ".jxl": "JPEG XL",
  ".czi": "CZI",
}  # fmt: skip
_SUFFIXES = {
  "raster": (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".jp2", ".j2k",
             ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".mpo", ".apng"),
  "tiff": (".tif", ".tiff"),
  "dicom": (".dcm", ".dicom", ".ima"),
  "nifti": (".nii", ".nii.gz"),
}  # fmt: skip
_HEAD = 512


class NotAnImage(Unreadable):
  """A file that does not even claim to be an image: named, and no reason to stop."""


def kind_of(name: str, head: bytes) -> str | None:
  """`raster`, `tiff`, `dicom`, `nifti`, or None.

  Args:
    name: The file's name.
    head: Its first 512 bytes.
  """
  suffix = suffix_of(name)
  if head[128:132] == b"DICM" or suffix in _SUFFIXES["dicom"]:
    return "dicom"
  if suffix in _SUFFIXES["nifti"] or head[344:348] in (b"n+1\0",) or head[4:8] == b"n+2\0":
    return "nifti"
  if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
    return "tiff"
  starts = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
  if head.startswith(starts) or head[8:12] == b"WEBP" or head[4:12] == b"ftypavif":
    return "raster"
  if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
    return "raster"
  return None


def claims_image(name: str) -> bool:
  """Whether the ending promises an image that is read here."""
  return any(suffix_of(name) in suffixes for suffixes in _SUFFIXES.values())


def looks_like_image(path: str | os.PathLike) -> bool:
  """Whether name or content say that a file is an image, be it one that can't be read here."""
  name = os.path.basename(os.fspath(path))
  if claims_image(name) or suffix_of(name) in _OTHER_IMAGES:
    return True
  try:
    with open_regular(path) as file:
      return kind_of(name, file.read(_HEAD)) is not None
  except Unreadable as error:
    return "regular" in str(error)


def read(path: str | os.PathLike, reading: Reading, told: str = "") -> Contents:
  """The frames of a file.

  Args:
    path: The file; nothing but a regular file is opened.
    reading: How it is read.
    told: Its name below the folder of the data, which tells volumes of one file name apart.

  Raises:
    NotAnImage: Neither name nor content say that it is an image.
    Unreadable: It gives no frames; the text says why.
  """
  name = os.path.basename(os.fspath(path))
  suffix = suffix_of(name)
  try:
    file = open_regular(path)
  except Unreadable as error:
    if claims_image(name) or "regular" in str(error):
      raise
    raise NotAnImage(str(error)) from None
  with file:
    head = file.read(_HEAD)
    file.seek(0)
    kind = kind_of(name, head)
    if kind is None:
      if claims_image(name):
        raise Unreadable("its content is not that of an image")
      if suffix in _OTHER_IMAGES:
        raise Unreadable(f"{_OTHER_IMAGES[suffix]} is not supported: convert it")
      raise NotAnImage(f"it is not an image ({suffix or 'no ending'})")
    try:
      contents = _read(kind, file, reading, told or name)
    except MemoryError:
      raise Unreadable("it takes more memory than there is") from None
  if not contents.frames:  # a TIFF whose first page lies behind its end
    raise Unreadable("it holds no picture")
  return contents


def _read(kind: str, file: BinaryIO, reading: Reading, name: str) -> Contents:
  if kind == "nifti":
    return nifti.read(file, reading, name)
  return {"raster": raster, "tiff": tiff, "dicom": dicom}[kind].read(file, reading)
