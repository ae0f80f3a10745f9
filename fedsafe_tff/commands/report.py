"""Builds the report of a run folder anew: python -m experiments.report RUN_DIR [RUN_DIR ...]."""

import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def report(arguments: Sequence[str]) -> int:
  """Draws the plots, writes `report.html` and prints the table of each folder.

  Returns:
    The exit code: 1 where a file is damaged, which is named and left out.
  """
  if not arguments or arguments[0].startswith("-"):
    if arguments and arguments[0] in ("--help", "-h"):
      print(__doc__)
      return 0
    raise UserError("give one or more run folders: python -m experiments.report RUN_DIR")
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.run_folder import RunFolder
  from fedsafe_tff.runs.report.table import summary

  code = 0
  for folder in arguments:
    damaged: list[str] = []
    page = build(folder, damaged)
    print(summary(RunFolder.read(folder, []), terminal=sys.stdout.isatty()))
    print(f"report: {page}")
    if damaged:
      sys.stdout.flush()
      print(
        f"{folder}: {', '.join(damaged)}: damaged, and left out of the report: run the command "
        "that made it again",
        file=sys.stderr,
      )
      code = 1
  return code


if __name__ == "__main__":
  main.run(report)
