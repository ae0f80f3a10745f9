"""What attackers on privacy get out of a finished run: membership, inversion, a bound of epsilon.

python -m experiments.audit RUN_DIR [RUN_DIR ...] [--canaries=200] [--steps=400] [--shadows=0]
  [--data_dir=FOLDER]

--canaries     canaries of the one-run audit (Steinke et al. 2023)
--steps        at most so many of a client's local steps are watched
--shadows      shadow models of LiRA (Carlini et al. 2022), such as 16: each is a whole training;
               0, the default, goes without. A session that is stopped goes on where it was.
--data_dir, --cache_dir, --init_from, --metadata  where what the run was made of lies now

Tables are printed and kept in RUN_DIR/audit, with the picture of what was recovered. Canaries are
put into a client's images; for a run of --privacy=dp_sgd what they show stands beside the stated
epsilon. Exit code 1 if that is refuted.

Several runs are put into one table, each against the first, where it is kept as compared.md; an
audit of the same effort that lies in a folder is not made again.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.commands.attack import MOVED
from fedsafe_tff.errors import UserError

_NUMBERS = {"canaries": 200, "steps": 400, "shadows": 16}  # with an example


def audit(arguments: Sequence[str]) -> int:
  """Audits a run and prints what came out; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  folders = [argument for argument in arguments if not argument.startswith("-")]
  if not folders or arguments[0].startswith("-"):
    raise UserError("give a run folder: python -m experiments.audit RUN_DIR")
  numbers, moved = {}, {}
  for argument in arguments:
    if argument in folders:
      continue
    name, equals, value = argument.lstrip("-").partition("=")
    if name in _NUMBERS and value.isdecimal() and (int(value) > 0 or name == "shadows"):
      numbers[name] = int(value)
    elif name in MOVED and equals:
      moved[name] = value
    elif name in _NUMBERS:
      raise UserError(f"{argument}: give a number above 0, --{name}={_NUMBERS[name]}")
    else:
      raise UserError(f"{argument!r} is unknown here: see --help")
  from fedsafe_tff.runs.report.run_folder import RunFolder

  runs = [RunFolder.read(folder) for folder in folders]
  from fedsafe_tff.runs import audit as audit_lib
  from fedsafe_tff.runs import audits
  from fedsafe_tff.runs.report import audit_page
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.progress import Progress
  from fedsafe_tff.runs.run import Stopped

  paths, effort = [run.path for run in runs], audit_lib.Effort(**numbers)
  try:
    with Progress() as progress:
      if len(runs) > 1:
        found, text = audits.audit_runs(paths, effort, progress.note, **moved)
      else:
        found = [audit_lib.audit_run(paths[0], effort, progress.note, **moved)]
        text = f"{runs[0].title()}\n\n{audit_page.text_of(found[0])}"
  except Stopped as stopped:
    print(stopped, flush=True)
    return 1
  print(text, flush=True)
  for path in paths:
    build(path)
  where = paths[0] / audit_lib.FOLDER
  print(f"audit: {where / f'{audits.NAME}.md' if len(runs) > 1 else where}")
  return 1 if any(each["one_run"]["refuted"] for each in found) else 0


if __name__ == "__main__":
  main.run(audit)
