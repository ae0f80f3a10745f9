"""Certified accuracy of a finished run by randomised smoothing: no attack can do more. No training.

python -m experiments.certify RUN_DIR [--sigma=0.02,0.05,0.1] [--images=100] [--client=NUMBER]

--sigma   of the noise on the images, in pixels of [0, 1]
--images  how many evaluation images; 0 for all
--client  whose copy; without it the global model
--n0, --n, --alpha  draws that choose an image's class (100) and that bound its chance (1000), and
          the chance of a wrong certificate per image (0.001)
--data_dir, --cache_dir, --init_from, --metadata  where what the run was made of lies now

What is certified is the vote of the model over noised copies of an image, not the model alone, and
against changes of a Euclidean length. Results go into RUN_DIR/certificates and into the report.
Ctrl-C stops; the same command goes on sigma by sigma.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.commands import main
from fedsafe_tff.commands.attack import MOVED, count_of
from fedsafe_tff.data.limits import MOST
from fedsafe_tff.errors import UserError

_COUNTS = ("images", "n0", "n", "client")


def certify(arguments: Sequence[str]) -> int:
  """Certifies a run; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give a run folder: python -m experiments.certify RUN_DIR")
  settings: dict[str, Any] = {}
  moved = {}
  for argument in arguments[1:]:
    name, equals, value = argument.removeprefix("--").partition("=")
    equals = equals and argument.startswith("--")
    if name in _COUNTS and equals:
      settings[name] = count_of(value, name)
      if settings[name] > MOST:
        raise UserError(f"--{name}={value} is out of range: give at most {MOST}")
    elif name == "sigma" and equals:
      settings["sigmas"] = tuple(dict.fromkeys(_number(one, name) for one in value.split(",")))
    elif name == "alpha" and equals:
      settings[name] = _number(value, name)
    elif name in MOVED and equals:
      moved[name] = value
    else:
      raise UserError(f"{argument!r} is unknown here, or has no value: see --help")
  client = settings.pop("client", None)
  from fedsafe_tff.runs import certify as certify_lib
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.progress import Progress

  asked = certify_lib.Asked(**settings)
  path = pathlib.Path(arguments[0]).expanduser()
  with Progress() as progress:
    certify_lib.certify_run(path, asked, client=client, log=progress.note, **moved)
  print(f"certificates: {path / certify_lib.FOLDER}")
  print(f"report: {build(path)}")
  return 0


def _number(text: str, name: str) -> float:
  try:
    return float(text)
  except ValueError:
    raise UserError(f"--{name}={text}: {text!r} is no number") from None


if __name__ == "__main__":
  main.run(certify)
