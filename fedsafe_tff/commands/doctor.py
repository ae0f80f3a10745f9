"""Checks this machine: versions, devices, a TFF round, memory, disk, data folders.

python -m experiments.doctor [--time_limit=SECONDS] [--data_dir=FOLDER ...]

One line per check; exit code 1 when a check fails.

With --dataset (or --flagfile) it looks at the data of a run before the run, and at nothing else:

python -m experiments.doctor --dataset=image_folder --data_dir=FOLDER [--page=doctor.html] [FLAGS]

takes the flags of experiments.train and writes a page that needs no network: what was loaded and
what left out and why, classes, sites, patients, sizes, near-duplicates, shortcuts that tell the
class, images as the model sees them, and what time and memory the run will take.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def doctor(arguments: Sequence[str]) -> int:
  """Runs the checks; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  if any(a.lstrip("-").split("=")[0] in ("dataset", "flagfile", "preset") for a in arguments):
    return _look(arguments)
  values = flags.FlagValues()
  flags.DEFINE_float(
    "time_limit", 60.0, "Seconds for the TFF round.", lower_bound=1.0, flag_values=values
  )
  flags.DEFINE_multi_string(
    "data_dir", [], "A folder of class folders; may be repeated.", flag_values=values
  )
  try:
    folders = values(["doctor", *arguments])[1:] + values.data_dir
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  from fedsafe_tff.runs import diagnostics

  checks = [
    diagnostics.check_versions,
    diagnostics.check_memory,
    diagnostics.check_disk,
    diagnostics.check_devices,
    lambda: diagnostics.check_tff(values.time_limit),
    *(lambda folder=folder: diagnostics.check_data_dir(folder) for folder in folders),
  ]
  passed = True
  for check in checks:
    outcome = check()
    passed &= outcome.passed
    print(outcome.line(), flush=True)
  return 0 if passed else 1


def _look(arguments: Sequence[str]) -> int:
  """Looks at the data of a run; exit code 1 when the run would be refused."""
  pages = [a.split("=", 1)[1] for a in arguments if a.lstrip("-").startswith("page=")]
  rest = [a for a in arguments if not a.lstrip("-").startswith("page=")]
  from fedsafe_tff.runs.flags import command_line

  config = command_line.parse(rest, __doc__)
  from fedsafe_tff.runs.look import look_at

  page = pathlib.Path(pages[-1] if pages else "doctor.html").expanduser()
  fits = look_at(config, page, lambda text: print(text, flush=True))
  print(f"page: {page}")
  return 0 if fits else 1


if __name__ == "__main__":
  main.run(doctor)
