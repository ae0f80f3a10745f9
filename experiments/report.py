"""Builds the report of a run folder anew: python -m experiments.report RUN_DIR [RUN_DIR ...]."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.report import report

if __name__ == "__main__":
  main.run(report)
