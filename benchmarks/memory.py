"""Memory of processes over time."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import psutil

_MIB = 2**20
_EVERY_SECONDS = 0.02


def resident(pids: Sequence[int]) -> float:
  """MiB that these processes hold in memory together."""
  total = 0
  for pid in pids:
    try:
      total += psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
      pass
  return total / _MIB


class Peak:
  """The most memory that processes hold while it is entered; a context manager.

  Attributes:
    mib: The peak.
  """

  def __init__(self, pids: Sequence[int]):
    self._pids = pids
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._sample, daemon=True)
    self.mib = 0.0

  def _sample(self) -> None:
    while not self._done.is_set():
      self.mib = max(self.mib, resident(self._pids))
      time.sleep(_EVERY_SECONDS)

  def __enter__(self) -> "Peak":
    self._thread.start()
    return self

  def __exit__(self, *error) -> None:
    self._done.set()
    self._thread.join()
    self.mib = max(self.mib, resident(self._pids))


def slope(values: Sequence[float]) -> tuple[float, float]:
  """Slope per step of a line through `values`, and the standard error of it.

  Neighbouring values are alike, which makes the error of an ordinary fit too small; here it is the
  spread between the slopes of ten (or fewer) stretches, over the root of their number.
  """
  steps = np.arange(len(values))
  whole = float(np.polyfit(steps, values, 1)[0])
  stretches = min(10, len(values) // 3)
  if stretches < 2:
    return whole, float("nan")
  parts = np.array_split(np.asarray(values, float), stretches)
  slopes = [np.polyfit(np.arange(len(part)), part, 1)[0] for part in parts]
  return whole, float(np.std(slopes, ddof=1) / np.sqrt(stretches))
