"""Files: written whole and by one process at a time, and told from those that were there before."""

import contextlib
import fcntl
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


@contextlib.contextmanager
def locked(path: pathlib.Path, taken: str) -> Iterator[None]:
  """Locks the file `path` for this process; the system frees it when the process ends.

  Args:
    path: A file to make for it, in a folder that exists.
    taken: What the error says if another process has it.

  Raises:
    UserError: Another process has it, or the folder can't be written to.
  """
  try:
    file = path.open("a")
  except OSError as error:
    raise UserError(
      f"{path.parent} can't be written to ({error.strerror}): choose another folder"
    ) from None
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(taken) from None
    except OSError:  # a file system without locks
      pass
    yield


def changed_at(facts: os.stat_result) -> tuple[int, int, int]:
  """Size and times of a file: another file in its place has others.

  The time of modification can be set, as `cp -p` and archives do; that of the last change of state
  (ctime) can't.
  """
  return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
