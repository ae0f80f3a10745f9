"""Where the operations of a training run: on a GPU, or on the CPU for want of a kernel.

python -m benchmarks.placement --flagfile=flags/presets/demo.flags --rounds=1 [--flag=value ...]

Runs `experiments.train` with these flags and `--runtime=device` in a process of its own, into a
temporary folder, with TensorFlow's log of placements, and counts the kinds of operations by device.
Small integers (shapes, counters, keys) live on the CPU by design; whatever else is listed there
costs a copy each time. Exit code: that of the training.
"""

import collections
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence

from fedsafe_tff.commands import main

# `name: (Kind): /job:localhost/replica:0/task:0/device:GPU:0`
_PLACED = re.compile(r": \((\w+)\): .*/device:(CPU|GPU):\d+")
_PROGRAM = """
import runpy, sys
import tensorflow as tf
tf.debugging.set_log_device_placement(True)
sys.argv = ["experiments.train", *sys.argv[1:]]
runpy.run_module("experiments.train", run_name="__main__")
"""


def count(lines: Iterable[str]) -> dict[str, collections.Counter]:
  """Kinds of operations by device, "CPU" or "GPU", from TensorFlow's log of placements."""
  counts = {"CPU": collections.Counter(), "GPU": collections.Counter()}
  for line in lines:
    found = _PLACED.search(line)
    if found:
      counts[found[2]][found[1]] += 1
  return counts


def placement(arguments: Sequence[str]) -> int:
  """Trains, prints the counts; returns the exit code."""
  with tempfile.TemporaryDirectory() as folder:
    flags = [*arguments, "--runtime=device", f"--run_dir={folder}/run"]
    run = subprocess.run(
      [sys.executable, "-c", _PROGRAM, *flags],
      env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0"},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors="replace",
    )
  lines = run.stdout.splitlines()
  if run.returncode:
    print("\n".join([line for line in lines if not _PLACED.search(line)][-20:]))
  counts = count(lines)
  for device, kinds in counts.items():
    # A kind that has run on a GPU has a kernel there.
    lacking = {k: n for k, n in kinds.items() if device == "GPU" or k not in counts["GPU"]}
    heading = "on a GPU" if device == "GPU" else "on the CPU alone"
    print(f"{heading}: " + ", ".join(f"{k} {n}" for k, n in sorted(lacking.items())))
  return run.returncode


if __name__ == "__main__":
  main.run(placement)
