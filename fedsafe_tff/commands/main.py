"""What every binary does around its work: one clear line for an error, the right exit code."""

import errno
import io
import os
import resource
import sys
import warnings
from collections.abc import Callable, Sequence

from fedsafe_tff.errors import Notice, UserError

_DISK = {
  errno.ENOSPC: ("the disk is full", "free space"),
  errno.EDQUOT: ("the disk quota is full", "free space"),
  errno.EROFS: ("the file system is read-only", "give a folder that can be written to"),
}

_ADDRESS_SPACE = 4 * 2**30  # bytes; the libraries map 3, and threads their stacks
_LESS = "lower --batch_size, --evaluation_batch_size, --image_size or --num_images"


def run(work: Callable[[Sequence[str]], int | None]) -> None:
  """Calls `work(arguments)` and leaves: 0 done, 1 failed or stopped, 2 the user can mend it."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
  warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
  warnings.simplefilter("always", Notice)
  warnings.showwarning = _show
  _open_streams()
  try:
    _check_address_space()
    code = work(sys.argv[1:]) or 0
    sys.stdout.flush()
  except UserError as error:
    code = _say(error, 2)
  except KeyboardInterrupt:
    code = _say("stopped at once; the last finished round is saved", 1)
  except BrokenPipeError:  # whoever read the output has left, as `| head` does
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the exit's flush fails
    code = 1
  except MemoryError as error:
    said = f" ({error})" if str(error) else ""
    code = _say(f"out of memory{said}: {_LESS}", 1)
  except OSError as error:
    if error.errno not in _DISK:
      raise
    where = f" ({error.filename})" if error.filename else ""
    what, remedy = _DISK[error.errno]
    code = _say(f"{what}{where}: {remedy}, then run the same command", 2)
  except Exception as error:
    # By name: the libraries that they are of take seconds to import.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "ResourceExhaustedError" in kinds:
      code = _say(f"out of memory ({' '.join(str(error).split())[:200]}): {_LESS}", 1)
    elif "ComputationFailed" in kinds:  # it says which client, round and operation
      code = _say(error, 1)
    elif isinstance(error, RuntimeError) and "home directory" in str(error):
      code = _say("~ stands for no folder here, as there is no HOME: give the folder in full", 2)
    else:
      raise
  sys.exit(code)


def _open_streams() -> None:
  """Gives standard streams that were closed, as by `>&-`, to nobody.

  Else the next file that is opened would have their number, and take what libraries print. Names
  that are not UTF-8 can be printed.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
    elif number and isinstance(getattr(sys, name), io.TextIOWrapper):
      getattr(sys, name).reconfigure(errors="backslashreplace")


_show_other = warnings.showwarning


def _show(message, category, filename, lineno, file=None, line=None) -> None:
  """A `Notice` as a line of its own; other warnings as ever."""
  if not issubclass(category, Notice):
    _show_other(message, category, filename, lineno, file, line)
    return
  sys.stdout.flush()
  print(f"note: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def _check_address_space() -> None:
  """Says what a limit below that of TensorFlow's own libraries would end as `std::bad_alloc`."""
  limit, _ = resource.getrlimit(resource.RLIMIT_AS)
  if 0 <= limit < _ADDRESS_SPACE:
    raise UserError(
      f"out of memory: the address space is limited to {limit / 2**30:.1f} GiB, TensorFlow and TFF "
      f"alone take {_ADDRESS_SPACE / 2**30:.0f}: raise it (ulimit -v unlimited)"
    )


def _say(message: object, code: int) -> int:
  sys.stdout.flush()
  print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
  return code
