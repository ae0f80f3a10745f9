"""Whether a training gives the same bits when it is run again, on this machine's device.

python -m benchmarks.repeats --flagfile=flags/presets/demo.flags --rounds=2 [--flag=value ...]

Runs `experiments.train` twice with these flags and `--runtime=device`, and twice more with
TF_DETERMINISTIC_OPS=1, which asks TensorFlow for kernels that add in one order and raises an error
where it has none. Prints the largest difference between the weights of each two. Exit code 1 if
one of the trainings fails, or if two differ in spite of that variable.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from fedsafe_tff.commands import main


def repeats(arguments: Sequence[str]) -> int:
  """Trains four times, prints the differences; returns the exit code."""
  code = 0
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    for deterministic in ("0", "1"):
      begun = time.monotonic()
      runs = [root / f"{deterministic}-{number}" for number in (1, 2)]
      failed = [run for run in runs if not _train(arguments, run, deterministic)]
      heading = f"TF_DETERMINISTIC_OPS={deterministic}"
      if failed:
        print(f"{heading}: {len(failed)} of 2 trainings failed")
        code = 1
        continue
      apart = _distance(*runs)
      print(f"{heading}: weights differ by {apart:.3g} at most; {time.monotonic() - begun:.1f} s")
      if deterministic == "1" and apart:
        code = 1
  return code


def _train(arguments: Sequence[str], run_dir: pathlib.Path, deterministic: str) -> bool:
  run = subprocess.run(
    [sys.executable, "-m", "experiments.train", *arguments, "--runtime=device",
     f"--run_dir={run_dir}"],
    env=os.environ | {"TF_DETERMINISTIC_OPS": deterministic},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    errors="replace",
  )  # fmt: skip
  if run.returncode:
    print(run.stdout[-3000:])
  return run.returncode == 0


def _distance(left: pathlib.Path, right: pathlib.Path) -> float:
  """Largest difference between the global models of two runs."""
  import numpy as np

  with np.load(left / "models/global.npz") as a, np.load(right / "models/global.npz") as b:
    return max(float(np.abs(a[name] - b[name]).max()) for name in a.files)


if __name__ == "__main__":
  main.run(repeats)
