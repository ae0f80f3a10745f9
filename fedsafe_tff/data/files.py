"""Files: written whole and by one process at a time, and told from those that were there before."""

import contextlib
import fcntl
import io
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError

_PART = ".part"  # how the names of unfinished files end
_swept: set[str] = set()


@contextlib.contextmanager
def atomic_path(path: pathlib.Path, *, summed: bool = False) -> Iterator[pathlib.Path]:
  """Yields a temporary path beside `path`, which replaces `path` when the block succeeds.

  Args:
    path: The file.
    summed: Whether it is read again: its checksum is then kept beside it, see `data.sums`.

  Raises:
    UserError: The folder can't be written to, or the disk is full.
  """
  with _unfinished(path, "free space or choose another folder") as temporary:
    yield temporary
    os.chmod(temporary, 0o644)
    if summed:
      sums.record(path, sums.of_file(temporary))
    os.replace(temporary, path)


def make_folder(path: pathlib.Path, remedy: str) -> None:
  """Makes a folder where there is none.

  Raises:
    UserError: It can't be made; `remedy` says what to do.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"{path} can't be made ({error.strerror}): {remedy}") from None


def write_arrays(
  path: pathlib.Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = False
) -> None:
  """Writes an `.npz` with its checksum; raises as `atomic_path`."""
  stream = io.BytesIO()  # on a full disk zipfile prints more than the one line
  (np.savez_compressed if compressed else np.savez)(stream, **arrays)
  with atomic_path(path, summed=True) as temporary:
    temporary.write_bytes(stream.getbuffer())


@contextlib.contextmanager
def atomic_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """The same for a folder that is not there yet; checksums of its files are kept in it.

  Raises:
    UserError: The folder can't be written, or the disk is full.
  """
  with _unfinished(path, "free space or give another folder", folder=True) as temporary:
    yield temporary
    sums.record_tree(temporary)
    temporary.chmod(0o755)
    os.rename(temporary, path)


@contextlib.contextmanager
def _unfinished(path: pathlib.Path, remedy: str, folder: bool = False) -> Iterator[pathlib.Path]:
  """A name beside `path`, locked for as long as this process works on it."""
  temporary = handle = None
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    if str(path.parent) not in _swept:
      _swept.add(str(path.parent))
      sweep(path.parent)
    while temporary is None:
      temporary, handle = _new(path, folder)
    yield temporary
  except OSError as error:
    raise UserError(f"can't write {path} ({error.strerror or error}): {remedy}") from None
  finally:
    if handle is not None:
      os.close(handle)
    if temporary is not None:
      _remove(temporary)


def _new(path: pathlib.Path, folder: bool) -> tuple[pathlib.Path | None, int | None]:
  how = {"dir": path.parent, "prefix": f".{path.name}.", "suffix": _PART}
  if folder:
    name = tempfile.mkdtemp(**how)
    handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
  else:
    handle, name = tempfile.mkstemp(**how)
  with contextlib.suppress(OSError):  # a file system without locks
    fcntl.flock(handle, fcntl.LOCK_EX)
  if os.path.exists(name):
    return pathlib.Path(name), handle
  os.close(handle)  # another process took it for one that was left
  return None, None


def sweep(folder: pathlib.Path, *, below: bool = False) -> None:
  """Removes unfinished files that a killed program left: those that no process has locked.

  Args:
    folder: Where they lie.
    below: Whether in folders within it too.
  """
  try:
    found = list((folder.rglob if below else folder.glob)(f".*{_PART}"))
  except OSError:  # a folder that went while it was looked at
    return
  for path in found:
    with contextlib.suppress(OSError):  # locked, gone, or on a file system without locks
      handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
      try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
      finally:
        os.close(handle)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path, ignore_errors=True)
  else:
    with contextlib.suppress(OSError):
      path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(
  path: pathlib.Path, taken: str, *, wait: Callable[[str], None] | None = None
) -> Iterator[None]:
  """Locks the file `path` for this process; the system frees it when the process ends.

  Where the file system has no locks, as some over a network, a `Notice` says so.

  Args:
    path: A file to make for it, in a folder that exists.
    taken: What the error says if another process has it.
    wait: Is told `taken` where the other's end is to be waited for; None makes it an error.

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
      if wait is None:
        raise UserError(taken) from None
      wait(taken)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      warnings.warn(
        f"{path.parent} is on a file system without locks ({error.strerror}): see to it that no "
        "other process works there",
        Notice,
        stacklevel=3,
      )
    yield


def changed_at(facts: os.stat_result) -> tuple[int, int, int]:
  """Size and times of a file: another file in its place has others.

  The time of modification can be set, as `cp -p` and archives do; that of the last change of state
  (ctime) can't.
  """
  return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
