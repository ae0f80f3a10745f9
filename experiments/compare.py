"""Puts runs side by side, as Markdown: python -m experiments.compare RUN_DIR [RUN_DIR ...]."""

from collections.abc import Sequence

from experiments import main
from fedsafe_tff.errors import UserError


def compare(arguments: Sequence[str]) -> None:
  """Prints the table."""
  if arguments and arguments[0] in ("--help", "-h"):
    print(__doc__)
    return
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give run folders: python -m experiments.compare RUN_DIR [RUN_DIR ...]")
  from fedsafe_tff.report.compare import comparison
  from fedsafe_tff.report.run_folder import RunFolder

  print(comparison([RunFolder.read(folder) for folder in arguments]), end="")


if __name__ == "__main__":
  main.run(compare)
