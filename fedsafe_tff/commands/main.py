"""What every binary does around its work: one clear line for an error, the right exit code."""

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from fedsafe_tff.errors import Notice, UserError

_DISK = {
  errno.ENOSPC: ("the disk is full", "free space"),
  errno.EDQUOT: ("the disk quota is full", "free space"),
  errno.EROFS: ("the file system is read-only", "give a folder that can be written to"),
}


def run(work: Callable[[Sequence[str]], int | None]) -> None:
  """Calls `work(arguments)` and leaves: 0 done, 1 failed or stopped, 2 the user can mend it."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
  warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
  warnings.simplefilter("always", Notice)
  warnings.showwarning = _show
  _open_streams()
  try:
    code = work(sys.argv[1:]) or 0
    sys.stdout.flush()
  except UserError as error:
    code = _say(error, 2)
  except KeyboardInterrupt:
    code = _say("stopped at once; the last finished round is saved", 1)
  except BrokenPipeError:  # whoever read the output has left, as `| head` does
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the exit's flush fails
    code = 1
  except OSError as error:
    if error.errno not in _DISK:
      raise
    where = f" ({error.filename})" if error.filename else ""
    what, remedy = _DISK[error.errno]
    code = _say(f"{what}{where}: {remedy}, then run the same command", 2)
  except RuntimeError as error:
    if "home directory" not in str(error):
      raise
    code = _say("~ stands for no folder here, as there is no HOME: give the folder in full", 2)
  sys.exit(code)


def _open_streams() -> None:
  """Gives standard streams that were closed, as by `>&-`, to nobody.

  Else the next file that is opened would have their number, and take what libraries print.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115


_show_other = warnings.showwarning


def _show(message, category, filename, lineno, file=None, line=None) -> None:
  """A `Notice` as a line of its own; other warnings as ever."""
  if not issubclass(category, Notice):
    _show_other(message, category, filename, lineno, file, line)
    return
  sys.stdout.flush()
  print(f"note: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def _say(message: object, code: int) -> int:
  sys.stdout.flush()
  print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
  return code
