"""Puts runs side by side, as Markdown: python -m experiments.compare RUN_DIR [RUN_DIR ...].

Below the table stand pairs of runs that were attacked on the same images: who loses which, and
McNemar's test.
--html=FILE writes a page as well, with accuracy under attack as curves and against clean accuracy,
pictures and warnings.
Runs that were drawn by other keys or splits than the rest are refused; with --mixed_versions they
are not, and a line below the table says which they are.
"""

import pathlib
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def compare(arguments: Sequence[str]) -> None:
  """Prints the table."""
  if arguments and arguments[0] in ("--help", "-h"):
    print(__doc__)
    return
  mixed = "--mixed_versions" in arguments
  pages = [a.partition("=")[2] for a in arguments if a.startswith("--html=")]
  folders = [a for a in arguments if a != "--mixed_versions" and not a.startswith("--html=")]
  if not folders or any(folder.startswith("-") for folder in folders):
    raise UserError("give run folders: python -m experiments.compare RUN_DIR [RUN_DIR ...]")
  from fedsafe_tff.runs.report import run_folder, side_by_side
  from fedsafe_tff.runs.report.compare import comparison, mixture_note

  runs = [run_folder.RunFolder.read(folder) for folder in folders]
  print(comparison(runs, mixed_versions=mixed), end="")
  for page in pages:
    names = run_folder.names(runs)
    entries = [side_by_side.Entry(name, "", run) for name, run in zip(names, runs)]
    side_by_side.write(pathlib.Path(page), "Runs side by side", entries, mixture_note(runs))
    print(f"page: {page}")


if __name__ == "__main__":
  main.run(compare)
