"""Folders under names that TensorFlow does not take for patterns."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from fedsafe_tff.errors import UserError

_PATTERN = frozenset("*?[]\\")


@contextlib.contextmanager
def plain(folder: pathlib.Path) -> Iterator[str]:
  """Another name of a folder that is there, of no special characters, while the block runs.

  `tf.saved_model.load` looks for its files by a pattern that it makes of the path: below a folder
  `a[b]` it finds none.

  Raises:
    UserError: The system can't give one.
  """
  if not _PATTERN & set(str(folder)):
    yield str(folder)
    return
  handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    name = f"/proc/self/fd/{handle}"
    if not os.path.isdir(name):
      raise UserError(f"{folder}: TensorFlow can't read below a name with any of * ? [ ] \\ here")
    yield name
  finally:
    os.close(handle)
