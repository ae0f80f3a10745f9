"""Writing files so that a reader never meets half of one."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from fedsafe_tff.errors import UserError


@contextlib.contextmanager
def atomic_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a temporary path beside `path`, which replaces `path` when the block succeeds.

  Raises:
    UserError: The folder can't be written to, or the disk is full.
  """
  temporary = None
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = pathlib.Path(name)
    yield temporary
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    temporary = None
  except OSError as error:
    raise UserError(
      f"can't write {path} ({error.strerror or error}): free space or choose another folder"
    ) from None
  finally:
    if temporary is not None:
      temporary.unlink(missing_ok=True)
