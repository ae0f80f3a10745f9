"""NIfTI volumes: slices along an axis, turned as radiologists look at them.

The volume is brought to the closest of right, anterior, superior; then up is anterior (axial) or
superior, and the patient's right is at the left. Slices of a single value are left out and counted.
"""

import gzip
import re
from typing import BinaryIO

import numpy as np

from fedsafe_tff.data.formats.frame import (
  Contents,
  Frame,
  MissingLibrary,
  Reading,
  Unreadable,
  pseudonym,
)

_AXES = ("sagittal", "coronal", "axial")
_HEADER = 540  # of NIfTI-2, the longer one


def read(file: BinaryIO, reading: Reading, name: str) -> Contents:
  """Every slice that is not empty, of every time point.

  Args:
    file: The open file, packed by gzip or not.
    reading: How it is read.
    name: The file's name; `sub-ID` in it names the patient, else the volume is one of its own.

  Raises:
    Unreadable: It is damaged, too large, or holds no gray values.
  """
  try:
    import nibabel
  except ImportError:
    raise MissingLibrary("NIfTI", "nibabel") from None
  try:
    if file.read(2) == b"\x1f\x8b":
      file.seek(0)
      file = gzip.GzipFile(fileobj=file)
    file.seek(0)
    head = file.read(_HEADER)
    second = head[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    shape, dtype = _shape(kind, head)
    depth = int(np.prod(shape[2:]))
    reading.check_size(shape[0], shape[1], depth, dtype.itemsize)
    if dtype.kind not in "uif":
      raise Unreadable(f"it has values of type {dtype}, not gray values")
    file.seek(0)
    holder = nibabel.FileHolder(fileobj=file)
    image = nibabel.as_closest_canonical(kind.from_file_map({"header": holder, "image": holder}))
    values = np.asanyarray(image.dataobj)
  except Unreadable:
    raise
  except MemoryError:
    raise
  except Exception as error:  # nibabel raises many kinds for a damaged header
    raise Unreadable(f"nibabel can't read it ({type(error).__name__})") from None
  values = values.reshape(*values.shape[:3], -1) if values.ndim > 2 else values[..., None, None]
  return _slices(values, reading, _patient(name), dtype.itemsize * 8)


def _shape(kind, head: bytes):
  header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
  shape = header.get_data_shape()
  if len(shape) < 2:
    raise Unreadable(f"it has {len(shape)} dimensions, at least 2 are needed")
  return (*shape, 1)[:8], header.get_data_dtype()


def _patient(name: str) -> str:
  """By BIDS `sub-ID` in the file's name, else by a folder of that name, else each of its own."""
  *folders, file = name.split("/")
  found = re.search(r"sub-([A-Za-z0-9]+)", file)
  for folder in reversed(folders):
    found = found or re.fullmatch(r"sub-([A-Za-z0-9]+)", folder)
  return pseudonym(found.group(1)) if found else pseudonym("volume", name)


def _slices(values: np.ndarray, reading: Reading, patient: str, bits: int) -> Contents:
  frames, empty = [], 0
  moved = np.moveaxis(values, reading.slice_axis, 0)
  times = values.shape[-1]
  for time in range(times):
    for number in range(len(moved)):
      picture = moved[number, ..., time][::-1, ::-1].T
      if picture.min() == picture.max():
        empty += 1
        continue
      part = f"{_AXES[reading.slice_axis]} {number + 1}" + (f" time {time + 1}" * (times > 1))
      if picture.dtype == np.uint8:  # a volume is always windowed, whatever it is stored as
        picture = picture.astype(np.int16)
      facts = {"series": "volume", "patient": patient, "kind": f"NIfTI {bits} bit"}
      frames.append(Frame(picture, part, **facts))
  if not frames:
    raise Unreadable(f"all of its {empty} slices are empty")
  return Contents(frames, empty)
