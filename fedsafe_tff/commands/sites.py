"""The study of sites on brain MRI, the hospitals told by the size of the files.

python -m experiments.sites --data_dir=MRI --out=FOLDER [--seeds=0,1] [FLAGS of experiments.train]

Runs that are complete are not made again.
"""

import pathlib
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.flags import command_line


def sites(arguments: Sequence[str]) -> int:
  """Runs the study; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  own = {"data_dir": "", "out": "results/sites", "seeds": "0,1"}
  rest = []
  for argument in arguments:
    name, _, value = argument.lstrip("-").partition("=")
    if name in own:
      own[name] = value
    else:
      rest.append(argument)
  try:
    seeds = [int(seed) for seed in own["seeds"].split(",")]
  except ValueError:
    raise UserError(f"--seeds={own['seeds']}: expected whole numbers with commas") from None
  from fedsafe_tff.runs.run import Stopped
  from fedsafe_tff.runs.sites_study import study

  def config(**settings):
    typed = [f"--{name}={value}" for name, value in settings.items() if value != ""]
    return command_line.parse([*rest, *typed], __doc__)

  try:
    page = study(config, own["data_dir"], pathlib.Path(own["out"]), seeds, print)
  except Stopped as stopped:
    print(stopped, flush=True)
    return 1
  print(f"page: {page}")
  return 0


if __name__ == "__main__":
  main.run(sites)
