"""Arrays of an `.npz` file: headers first, never a pickle, never more bytes than allowed."""

import dataclasses
import io
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from typing import BinaryIO

import numpy as np

from fedsafe_tff.data.formats.frame import DEFAULT, Reading, Unreadable
from fedsafe_tff.data.formats.opening import open_regular

_BROKEN = (
  OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, TypeError, SyntaxError,
  OverflowError, NotImplementedError, RuntimeError, MemoryError, AttributeError, IndexError,
  lzma.LZMAError, struct.error, tokenize.TokenError,
)  # fmt: skip


def read(file: BinaryIO, reading: Reading) -> dict[str, np.ndarray]:
  """All arrays of an archive.

  Raises:
    Unreadable: It is no archive, is damaged, holds pickled objects, or unpacks to more than
      `reading.max_bytes`.
  """
  try:
    if file.read(6) == b"\x93NUMPY":
      raise Unreadable("it holds one array without a name")
    with zipfile.ZipFile(file) as archive:
      members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
      facts = {member.filename: _header(archive, member) for member in members}
      reading.check_bytes(sum(math.prod(s) * d.itemsize for _, s, d, _ in facts.values()))
      return {
        member.filename.removesuffix(".npy"): _array(archive, member, *facts[member.filename])
        for member in members
      }
  except Unreadable:
    raise
  except _BROKEN as error:
    raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from None


def read_stored(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """All arrays of an archive as `np.savez` writes it, which packs nothing.

  So what it unpacks to is no more than the file itself: a zip bomb is none here.

  Raises:
    Unreadable: As `read`, or it is no regular file.
  """
  with open_regular(path) as file:
    size = os.fstat(file.fileno()).st_size
    return read(file, dataclasses.replace(DEFAULT, max_bytes=size))


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo):
  """Bytes of the header, shape, type, and whether columns come first."""
  with archive.open(member) as stream:
    head = io.BytesIO(stream.read(65536))
  version = np.lib.format.read_magic(head)
  reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
  shape, fortran, dtype = reader[min(version[0], 2)](head)
  if dtype.hasobject:
    raise Unreadable(f"{member.filename} holds pickled objects, which are never read")
  if any(side < 0 for side in shape):
    raise Unreadable(f"{member.filename} has a damaged header")
  return head.tell(), shape, dtype, fortran


def _array(archive, member, start: int, shape, dtype, fortran: bool) -> np.ndarray:
  size = math.prod(shape) * dtype.itemsize
  with archive.open(member) as stream:
    stream.read(start)
    raw = bytearray(size)
    view, filled = memoryview(raw), 0
    while filled < size:
      part = stream.read(min(size - filled, 1 << 22))
      if not part:
        raise Unreadable(f"{member.filename} is shorter than its header says")
      view[filled : filled + len(part)] = part
      filled += len(part)
  array = np.frombuffer(raw, dtype)
  return array.reshape(shape, order="F" if fortran else "C")
