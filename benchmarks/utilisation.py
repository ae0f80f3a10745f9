"""How busy the GPUs are, as `nvidia-smi` sees them."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable

_EVERY_MS = 200
_QUERY = "--query-gpu=index,utilization.gpu,memory.used"


class Utilisation:
  """Samples all GPUs while it is entered; a context manager."""

  def __init__(self):
    self._samples: list[tuple[float, int, float, float]] = []
    self._windows: dict[str, list[tuple[float, float]]] = {}
    self._process: subprocess.Popen | None = None

  def __enter__(self) -> "Utilisation":
    program = shutil.which("nvidia-smi")
    if program:
      self._process = subprocess.Popen(
        [program, _QUERY, "--format=csv,noheader,nounits", f"--loop-ms={_EVERY_MS}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
      )
      threading.Thread(target=self._read, daemon=True).start()
    return self

  def __exit__(self, *error) -> None:
    if self._process is not None:
      self._process.kill()
      self._process.wait()

  def _read(self) -> None:
    for line in self._process.stdout:
      try:
        index, busy, used = (float(field) for field in line.split(","))
      except ValueError:  # `[N/A]`, where the driver does not tell
        continue
      self._samples.append((time.monotonic(), int(index), busy, used))

  def watched(self, name: str, contender: Callable[[], None]) -> Callable[[], None]:
    """A contender whose runs are remembered."""

    def run() -> None:
      begun = time.monotonic()
      contender()
      self._windows.setdefault(name, []).append((begun, time.monotonic()))

    return run

  def rows(self, warmup: int) -> list[list[str]]:
    """Name, GPU, mean utilisation, most memory; the first runs of each are left out."""
    rows = []
    for name, windows in self._windows.items():
      inside = [
        sample
        for sample in self._samples
        if any(begun <= sample[0] <= end for begun, end in windows[warmup:])
      ]
      for index in sorted({sample[1] for sample in inside}):
        mine = [sample for sample in inside if sample[1] == index]
        busy = sum(sample[2] for sample in mine) / len(mine)
        most = max(sample[3] for sample in mine)
        rows.append([name, f"{index}", f"{busy:.0f} %", f"{most:.0f}"])
    return rows
