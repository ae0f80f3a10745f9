"""Whether a model reads the disease or the scan's origin, told by the size of the files.

python -m experiments.origin RUN_DIR [RUN_DIR ...]
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def origin(arguments: Sequence[str]) -> None:
  """Prints, for each run, its errors by class and by the size of the files."""
  if arguments and arguments[0] in ("--help", "-h"):
    print(__doc__)
    return
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give run folders: python -m experiments.origin RUN_DIR [RUN_DIR ...]")
  from fedsafe_tff.runs.report.run_folder import RunFolder

  runs = [RunFolder.read(folder) for folder in arguments]
  from fedsafe_tff.runs.origin import describe

  for run in runs:
    print(describe(run))


if __name__ == "__main__":
  main.run(origin)
