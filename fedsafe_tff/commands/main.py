"""What every binary does around its work: one clear line for an error, the right exit code."""

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from fedsafe_tff.errors import UserError


def run(work: Callable[[Sequence[str]], int | None]) -> None:
  """Calls `work(arguments)` and leaves: 0 done, 1 failed or stopped, 2 the user can mend it."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
  warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
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
    if error.errno != errno.ENOSPC:
      raise
    where = f" ({error.filename})" if error.filename else ""
    code = _say(f"the disk is full{where}: free space, then run the same command", 2)
  sys.exit(code)


def _say(message: object, code: int) -> int:
  sys.stdout.flush()
  print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
  return code
