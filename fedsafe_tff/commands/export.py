"""Writes a run's model as a SavedModel that needs TensorFlow alone.

python -m experiments.export RUN_DIR [--client=NUMBER] [--out=FOLDER]

The global model, or the copy that a client (0, 1, ...) received. It takes uint8 images, or float32
in [0, 1], and holds the labels' names and how files were read, by which experiments.predict goes:

  model = tf.saved_model.load(FOLDER)
  model(images), model.probabilities(images), model.class_names

This is research software: no medical device, not for diagnosis or treatment.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def export(arguments: Sequence[str]) -> None:
  """Writes it and prints its folder."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  flags.DEFINE_integer("client", None, "Whose copy.", flag_values=values)
  flags.DEFINE_string("out", "", "A folder that is not there yet.", flag_values=values)
  try:
    rest = values(["export", *arguments])[1:]
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  if len(rest) != 1:
    raise UserError("give one run folder: python -m experiments.export RUN_DIR")
  from fedsafe_tff.runs import export as exports

  out = pathlib.Path(values.out).expanduser() if values.out else None
  print(f"model: {exports.export(pathlib.Path(rest[0]).expanduser(), values.client, out)}")


if __name__ == "__main__":
  main.run(export)
