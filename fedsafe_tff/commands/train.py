"""Trains, defends, attacks and reports: one run of Fed-Safe's Algorithm 1 or of a TFF baseline.

python -m experiments.train --flagfile=flags/presets/demo.flags [--flag=value ...]

Ctrl-C finishes the round and saves; the same command with the same --run_dir continues.
"""

import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.runs.flags import command_line


def train(arguments: Sequence[str]) -> int:
  """Runs one configuration; returns the exit code."""
  config = command_line.parse(arguments, __doc__)
  from fedsafe_tff.runs.report.run_folder import RunFolder
  from fedsafe_tff.runs.report.table import summary
  from fedsafe_tff.runs.run import Stopped, run

  try:
    path = run(config)
  except Stopped as stopped:
    print(stopped, flush=True)
    return 1
  print(summary(RunFolder.read(path), terminal=sys.stdout.isatty()))
  print(f"report: {path / 'report.html'}")
  return 0


if __name__ == "__main__":
  main.run(train)
