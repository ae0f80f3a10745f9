"""When a process that does not answer counts as hung.

A process that is stopped neither dies nor answers. (One that the kernel keeps waiting, for a disk
that is gone, nobody can end.) So a runtime asks it now and then for a sign of life, which a thread
of that process gives while others compute: a long round is no silence. A computation that waits for
ever inside TensorFlow is none either, as that thread still answers.
"""

import time
from collections.abc import Callable

# Generous: a machine that swaps answers late, and a worker that is replaced does its work anew.
SILENT_SECONDS = 120.0


class Silence:
  """How long nothing was heard of another process, while this one looked.

  Time in which this process did not look, since it was stopped itself (Ctrl-Z, a frozen
  container), counts for a quarter of the limit at most: the answer may be waiting to be read.
  """

  def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic):
    """Begins now.

    Args:
      limit: Seconds from which on it is too long; they are looked at four times or more.
      clock: Seconds.
    """
    self._limit, self._clock = limit, clock
    self._seconds, self._looked = 0.0, clock()

  def heard(self) -> None:
    """The process answered."""
    self._seconds, self._looked = 0.0, self._clock()

  def too_long(self) -> bool:
    """Whether it is over the limit; call it at least four times within it."""
    now = self._clock()
    self._seconds += min(now - self._looked, self._limit / 4)
    self._looked = now
    return self._seconds >= self._limit
