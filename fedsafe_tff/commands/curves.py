"""Curves over a finished run: noise, colluders, averaged rounds, queries. No training.

python -m experiments.curves RUN_DIR [--attack_eps=0.012,0.03] [--attack_images=50]
python -m experiments.curves RUN_DIR RUN_DIR ... --out=FOLDER

--attack_eps    sizes in pixels of [0, 1]
--attack_images how many evaluation images are attacked
--out           where what is of several runs goes
--data_dir, --cache_dir, --init_from, --metadata  where what the run was made of lies now

Copies are the run's global model with plain noise, as the paper's server draws them. The points go
into RUN_DIR/curves: curves.csv and curves.png. Ctrl-C stops; the same command goes on point by
point. Of several runs, which differ in their seed alone, --out gets means over seeds, with the
least and the most: README.md, curves.csv with a row per seed, and curves.png.
"""

import pathlib
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.commands.attack import MOVED, check, count_of, sizes_of
from fedsafe_tff.errors import UserError


def curves(arguments: Sequence[str]) -> int:
  """Makes the curves of a run; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  targets = [argument for argument in arguments if not argument.startswith("-")]
  if not targets:
    raise UserError("give a run folder: python -m experiments.curves RUN_DIR")
  settings, moved, out = {}, {}, ""
  for argument in arguments:
    if argument in targets:
      continue
    name, equals, value = argument.removeprefix("--").partition("=")
    equals = equals and argument.startswith("--")
    if name == "attack_eps" and equals:
      settings["eps"] = tuple(dict.fromkeys(sizes_of(value)))
    elif name == "attack_images" and equals:
      settings["images"] = count_of(value)
    elif name in MOVED and equals:
      moved[name] = value
    elif name == "out" and value:
      out = value
    else:
      raise UserError(f"{argument!r} is unknown here, or has no value: see --help")
  check({f"attack_{name}": value for name, value in settings.items()})
  if (len(targets) > 1) != bool(out):
    raise UserError("--out=FOLDER is for what several runs have together: give both, or neither")
  from fedsafe_tff.runs import curves as curves_lib
  from fedsafe_tff.runs import curves_of_seeds
  from fedsafe_tff.runs.report.progress import Progress
  from fedsafe_tff.runs.report.run_folder import RunFolder

  grid = curves_lib.Grid(**settings)
  with Progress() as progress:
    if out:
      page = curves_of_seeds.curves_of_runs(
        targets, pathlib.Path(out).expanduser(), grid, log=progress.note, **moved
      )
      print(f"page: {page}")
    else:
      folder = RunFolder.read(targets[0]).path / curves_lib.FOLDER
      curves_lib.curves_of_run(targets[0], grid, log=progress.note, **moved)
      print(f"curves: {folder / 'curves.png'} and {folder / 'curves.csv'}")
  return 0


if __name__ == "__main__":
  main.run(curves)
