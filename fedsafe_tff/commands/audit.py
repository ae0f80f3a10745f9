"""What attackers on privacy get out of a finished run: membership, inversion, a bound of epsilon.

python -m experiments.audit RUN_DIR [--canaries=200] [--steps=400] [--shadows=0]
  [--data_dir=FOLDER]

--canaries     canaries of the one-run audit (Steinke et al. 2023)
--steps        at most so many of a client's local steps are watched
--shadows      shadow models of LiRA (Carlini et al. 2022), such as 16: each is a whole training;
               0, the default, goes without. A session that is stopped goes on where it was.
--data_dir, --cache_dir  where the run's images and cache lie now

Tables are printed and kept in RUN_DIR/audit, with the picture of what was recovered. Canaries are
put into a client's images; for a run of --privacy=dp_sgd what they show stands beside the stated
epsilon. Exit code 1 if that is refuted.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError

_NUMBERS = ("canaries", "steps", "shadows")
_MOVED = ("data_dir", "cache_dir")


def audit(arguments: Sequence[str]) -> int:
  """Audits a run and prints what came out; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give a run folder: python -m experiments.audit RUN_DIR")
  target, *rest = arguments
  numbers, moved = {}, {}
  for argument in rest:
    name, equals, value = argument.lstrip("-").partition("=")
    if name in _NUMBERS and value.isdecimal() and (int(value) > 0 or name == "shadows"):
      numbers[name] = int(value)
    elif name in _MOVED and equals:
      moved[name] = value
    elif name in _NUMBERS:
      raise UserError(f"{argument}: give a number above 0, --{name}=200")
    else:
      raise UserError(f"{argument!r} is unknown here: see --help")
  from fedsafe_tff.runs.report.run_folder import RunFolder

  folder = RunFolder.read(target)
  from fedsafe_tff.runs import audit as audit_lib
  from fedsafe_tff.runs.report import audit_page
  from fedsafe_tff.runs.report.progress import Progress
  from fedsafe_tff.runs.run import Stopped

  try:
    with Progress() as progress:
      found = audit_lib.audit_run(
        folder.path, audit_lib.Effort(**numbers), log=progress.note, **moved
      )
  except Stopped as stopped:
    print(stopped, flush=True)
    return 1
  print(f"{folder.title()}\n\n{audit_page.text_of(found)}")
  print(f"audit: {folder.path / audit_lib.FOLDER}")
  return 1 if found["one_run"]["refuted"] else 0


if __name__ == "__main__":
  main.run(audit)
