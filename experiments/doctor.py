"""Checks this machine: versions, devices, a TFF round, memory, disk, data folders.

python -m experiments.doctor [--time_limit=SECONDS] [--data_dir=FOLDER ...]

One line per check; exit code 1 when a check fails.
"""

from collections.abc import Sequence

from absl import flags

from experiments import main
from fedsafe_tff.errors import UserError


def doctor(arguments: Sequence[str]) -> int:
  """Runs the checks; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
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
  from fedsafe_tff import diagnostics

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


if __name__ == "__main__":
  main.run(doctor)
