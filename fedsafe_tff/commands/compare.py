"""Puts runs side by side, as Markdown: python -m experiments.compare RUN_DIR [RUN_DIR ...].

Runs that were drawn by other keys or splits than the rest are refused; with --mixed_versions they
are not, and a line below the table says which they are.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def compare(arguments: Sequence[str]) -> None:
  """Prints the table."""
  if arguments and arguments[0] in ("--help", "-h"):
    print(__doc__)
    return
  mixed = "--mixed_versions" in arguments
  folders = [argument for argument in arguments if argument != "--mixed_versions"]
  if not folders or any(folder.startswith("-") for folder in folders):
    raise UserError("give run folders: python -m experiments.compare RUN_DIR [RUN_DIR ...]")
  from fedsafe_tff.runs.report.compare import comparison
  from fedsafe_tff.runs.report.run_folder import RunFolder

  runs = [RunFolder.read(folder) for folder in folders]
  print(comparison(runs, mixed_versions=mixed), end="")


if __name__ == "__main__":
  main.run(compare)
