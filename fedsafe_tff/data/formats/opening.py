"""Opens regular files only, so that a named pipe or a device never blocks a run."""

import os
import pathlib
import stat
from typing import BinaryIO

from fedsafe_tff.data.formats.frame import Unreadable


def open_regular(path: str | os.PathLike) -> BinaryIO:
  """Opens a file for reading.

  Raises:
    Unreadable: It is no regular file, is empty, or can't be opened.
  """
  try:
    # O_NONBLOCK: to open a pipe that nobody writes to would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  except OSError as error:
    raise Unreadable(f"it can't be opened ({error.strerror})") from None
  facts = os.fstat(handle)
  if not stat.S_ISREG(facts.st_mode):
    os.close(handle)
    raise Unreadable("it is not a regular file")
  if facts.st_size == 0:
    os.close(handle)
    raise Unreadable("it is empty")
  return open(path, "rb", opener=lambda *_: handle)


def shown(name: str | os.PathLike) -> str:
  """A file's name for logs and reports: on one line, and of characters that can be written."""
  text = os.fsencode(os.fspath(name)).decode("utf-8", "backslashreplace")
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def suffix_of(name: str) -> str:
  """The ending in lower case, `.nii.gz` as one."""
  lower = name.lower()
  return ".nii.gz" if lower.endswith(".nii.gz") else pathlib.PurePath(lower).suffix
