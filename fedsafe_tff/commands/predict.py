"""Labels image files by the model of a run.

python -m experiments.predict MODEL FILE_OR_FOLDER [...] [--client=NUMBER] [--csv=FILE]

MODEL is what experiments.export wrote, or a run folder; of that, --client takes the copy which that
client (0, 1, ...) received instead of the global model. Files are read as the run read its own:
every kind, window and size, gray or colour. A line says file, label and its probability; a file of
several images, such as a volume, has one for each. Files that can't be read are named, the others
go on, and the exit code is 1.

The probabilities are the model's own, not calibrated on patients. This is research software: no
medical device, not for diagnosis or treatment.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def predict(arguments: Sequence[str]) -> int:
  """Prints the labels; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  flags.DEFINE_integer("client", None, "Whose copy.", flag_values=values)
  flags.DEFINE_string("csv", "", "The lines as a CSV file.", flag_values=values)
  try:
    model, *files = values(["predict", *arguments])[1:] or ("",)
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  if not files:
    raise UserError("give a model and files: python -m experiments.predict MODEL FILE [...]")
  from fedsafe_tff.runs import predict as predictions
  from fedsafe_tff.runs.export import open_model
  from fedsafe_tff.runs.report.render import write_csv

  opened = open_model(pathlib.Path(model).expanduser(), values.client)
  lines = []
  for line in predictions.predict(*opened, files, _say):
    lines.append(line)
    if line.error:
      _say(f"{line.file}: {line.error}")
    else:
      print(line.text())
  if values.csv:
    write_csv(pathlib.Path(values.csv).expanduser(), [line.row() for line in lines])
  failed = sum(line.failed for line in lines)
  if failed:
    _say(f"{failed} of {len(lines)} could not be read")
  return 1 if failed else 0


def _say(text: str) -> None:
  sys.stdout.flush()
  print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
  main.run(predict)
