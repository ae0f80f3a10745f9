"""Builds the report of a run folder anew: python -m experiments.report RUN_DIR [RUN_DIR ...]."""

import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def report(arguments: Sequence[str]) -> None:
  """Draws the plots, writes `report.html` and prints the table of each folder."""
  if not arguments or arguments[0].startswith("-"):
    if arguments and arguments[0] in ("--help", "-h"):
      print(__doc__)
      return
    raise UserError("give one or more run folders: python -m experiments.report RUN_DIR")
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.run_folder import RunFolder
  from fedsafe_tff.runs.report.table import summary

  for folder in arguments:
    page = build(folder)
    print(summary(RunFolder.read(folder), terminal=sys.stdout.isatty()))
    print(f"report: {page}")


if __name__ == "__main__":
  main.run(report)
