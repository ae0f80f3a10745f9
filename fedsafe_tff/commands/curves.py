"""Curves over a finished run: noise, colluders, averaged rounds, queries. No training.

python -m experiments.curves RUN_DIR [--attack_eps=0.012,0.03] [--attack_images=50]

--attack_eps    sizes in pixels of [0, 1]
--attack_images how many evaluation images are attacked
--data_dir, --cache_dir  where the run's images and cache lie now

Copies are the run's global model with plain noise, as the paper's server draws them. The points go
into RUN_DIR/curves: curves.csv and curves.png. Ctrl-C stops; the same command goes on point by
point.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.commands.attack import check, count_of, sizes_of
from fedsafe_tff.errors import UserError

_MOVED = ("data_dir", "cache_dir")


def curves(arguments: Sequence[str]) -> int:
  """Makes the curves of a run; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give a run folder: python -m experiments.curves RUN_DIR")
  target, *rest = arguments
  settings, moved = {}, {}
  for argument in rest:
    name, equals, value = argument.removeprefix("--").partition("=")
    equals = equals and argument.startswith("--")
    if name == "attack_eps" and equals:
      settings["eps"] = tuple(dict.fromkeys(sizes_of(value)))
    elif name == "attack_images" and equals:
      settings["images"] = count_of(value)
    elif name in _MOVED and equals:
      moved[name] = value
    else:
      raise UserError(f"{argument!r} is unknown here, or has no value: see --help")
  check({f"attack_{name}": value for name, value in settings.items()})
  from fedsafe_tff.runs import curves as curves_lib
  from fedsafe_tff.runs.report.progress import Progress
  from fedsafe_tff.runs.report.run_folder import RunFolder

  folder = RunFolder.read(target).path / curves_lib.FOLDER
  with Progress() as progress:
    curves_lib.curves_of_run(target, curves_lib.Grid(**settings), log=progress.note, **moved)
  print(f"curves: {folder / 'curves.png'} and {folder / 'curves.csv'}")
  return 0


if __name__ == "__main__":
  main.run(curves)
