"""Checksums beside the files: what is read again is what was written, or the file is named.

A folder's `.sums` grows by a line per file that is written: CRC-32 and size of what the file is
about to hold. The line comes before the file. So a program that is killed in between leaves what
was there before, whose line is there too: a file is whole if it holds any of the contents that were
written under its name. Every line has a checksum of its own; a damaged line is as none. Files
without a line, as older versions left them, are taken as they are.

CRC-32 is against the accidents of machines, not against people, who could write the line as well.
"""

import contextlib
import dataclasses
import errno
import fcntl
import os
import pathlib
import urllib.parse
import zlib

from fedsafe_tff.errors import UserError

NAME = ".sums"
_PIECE = 1 << 20
_KEEP = 8  # lines of a file when they become too many: more than can be left by kills in a row
_MANY = 1 << 16  # bytes of lines

_parsed: dict[pathlib.Path, tuple[tuple[int, ...], dict[str, list["Sum"]]]] = {}
_look_again: dict[pathlib.Path, int] = {}  # bytes from which lines may be too many


class Damaged(UserError):
  """A file that is not what was written under its name."""


@dataclasses.dataclass(frozen=True)
class Sum:
  """CRC-32 and number of bytes of a content."""

  crc: int = 0
  size: int = 0

  def then(self, data: bytes) -> "Sum":
    """Of the content with `data` behind it."""
    return Sum(zlib.crc32(data, self.crc), self.size + len(data))


def of_file(path: pathlib.Path) -> Sum:
  """Of what a file holds; it is read in pieces."""
  found = Sum()
  with path.open("rb") as file:
    while piece := file.read(_PIECE):
      found = found.then(piece)
  return found


def record(path: pathlib.Path, found: Sum) -> None:
  """Says what `path` is about to hold.

  Raises:
    OSError: The folder can't be written to, or the disk is full.
  """
  _append(path.parent / NAME, _line(path.name, found))


def record_tree(folder: pathlib.Path) -> None:
  """Says what every file below `folder` holds, in the folder's own `.sums`, with relative names."""
  files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != NAME)
  lines = [_line(file.relative_to(folder).as_posix(), of_file(file)) for file in files]
  _append(folder / NAME, b"".join(lines))


def read(path: pathlib.Path, remedy: str = "") -> bytes:
  """What a file holds.

  Args:
    path: The file.
    remedy: What a user can do if it is damaged.

  Raises:
    Damaged: It is not what was written there.
    OSError: It can't be read.
  """
  data = path.read_bytes()  # before its lines: whoever replaces it now writes the line first
  _check(path, Sum().then(data), remedy)
  return data


def check(path: pathlib.Path, remedy: str = "") -> None:
  """The same for a file that is too large to be held; raises as `read`."""
  if known(path):
    _check(path, of_file(path), remedy)


def known(path: pathlib.Path) -> bool:
  """Whether there is a checksum of a file."""
  return path.name in _lines(path.parent)


def read_table(path: pathlib.Path) -> tuple[bytes, bool]:
  """What a file that grows row by row holds.

  Returns:
    Its longest beginning that was written so, and whether no more than a row that was cut off
    follows: that is how a program leaves it that is killed.
  """
  data = path.read_bytes()
  sums = _lines(path.parent).get(path.name)
  if sums is None:
    return data, True
  longest, running = 0, Sum()
  for wanted in sorted(set(sums), key=lambda s: s.size):
    if wanted.size <= len(data):
      running = running.then(data[running.size : wanted.size])
      longest = wanted.size if running == wanted else longest
  whole = longest > 0 and b"\n" not in data[longest:]
  return data[:longest], whole


def contents(folder: pathlib.Path) -> dict[str, list[Sum]]:
  """What was written in `folder`, by name, the latest last."""
  return {name: list(sums) for name, sums in _lines(folder).items()}


def damaged(folder: pathlib.Path) -> list[str]:
  """Names of the files in `folder` that are gone or are not what was written there."""
  found = []
  for name, sums in _lines(folder).items():
    try:
      if of_file(folder / name) not in sums:
        found.append(name)
    except OSError:
      found.append(name)
  return found


def check_tree(folder: pathlib.Path) -> None:
  """Looks at every file that `record_tree` found.

  Raises:
    Damaged: One is not as it was then.
  """
  for name in damaged(folder):
    raise Damaged(f"{folder / name} is damaged or gone: make it again, or take it from a copy")


def _check(path: pathlib.Path, found: Sum, remedy: str) -> None:
  sums = _lines(path.parent).get(path.name)
  if sums is not None and found not in sums:
    remedy = remedy or "take it from a copy, or run the command that made it again"
    raise Damaged(f"{path} is damaged: by its checksum it is not what was written: {remedy}")


def _line(name: str, found: Sum) -> bytes:
  quoted = urllib.parse.quote_from_bytes(os.fsencode(name), safe="/ ")
  body = f"{found.crc:08x} {found.size} {quoted}".encode()
  return b"%08x %s\n" % (zlib.crc32(body), body)


def _parse(data: bytes) -> dict[str, list[Sum]]:
  """Contents by name, the latest last."""
  made: dict[str, list[Sum]] = {}
  for line in data.split(b"\n"):
    own, _, body = line.partition(b" ")
    if own != b"%08x" % zlib.crc32(body) or body.count(b" ") < 2:
      continue
    crc, size, quoted = body.split(b" ", 2)
    name = os.fsdecode(urllib.parse.unquote_to_bytes(quoted))
    made.setdefault(name, []).append(Sum(int(crc, 16), int(size)))
  return made


def _lines(folder: pathlib.Path) -> dict[str, list[Sum]]:
  """The lines of a folder; none where it has no file of them."""
  file = folder / NAME
  try:
    facts = file.stat()
    key = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    before, made = _parsed.get(file, (None, {}))
    if before != key:
      if len(_parsed) > 64:
        _parsed.clear()
      made = _parse(file.read_bytes())
      _parsed[file] = (key, made)
    return made
  except OSError:
    return {}


def _append(file: pathlib.Path, lines: bytes) -> None:
  while True:
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
      with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
      size = os.fstat(handle).st_size
      if not _is_at(file, handle):  # another process has put a shorter one in its place
        continue
      if size and os.pread(handle, 1, size - 1) != b"\n":  # the end of a line that was cut off
        lines = b"\n" + lines
      if os.write(handle, lines) != len(lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
      if size > _look_again.get(file, _MANY):
        _shorten(file)
      return
    finally:
      os.close(handle)


def _is_at(file: pathlib.Path, handle: int) -> bool:
  try:
    return os.path.samestat(file.stat(), os.fstat(handle))
  except OSError:
    return False


def _shorten(file: pathlib.Path) -> None:
  """Leaves the last lines of every name."""
  made = _parse(file.read_bytes())
  lines = b"".join(_line(name, s) for name, sums in made.items() for s in sums[-_KEEP:])
  temporary = file.with_name(f"{file.name}.new.part")
  with temporary.open("wb") as opened:
    with contextlib.suppress(OSError):  # see `data.files.sweep`
      fcntl.flock(opened, fcntl.LOCK_EX)
    opened.write(lines)
    opened.flush()
    os.replace(temporary, file)
  _look_again[file] = max(_MANY, 2 * len(lines))
