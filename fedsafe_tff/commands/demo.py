"""Undefended, the paper's Algorithm 1, and `combined`, on embedded data: one page of all three.

python -m experiments.demo [--run_dir=FOLDER] [--flag=value ...]

Flags are those of experiments.train less --defense, and hold for all three. Each run is evaluated
as they say, then attacked by who knows the noise or pools copies, at the largest size. The same
command with the same --run_dir goes on where it was stopped.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.flags import command_line

# Folder, name on the page, preset and what changes in it, what it is.
RUNS = (
  (
    "undefended",
    "undefended",
    ("--preset=demo-paper", "--defense=none"),
    "Federated training, and nothing against attacks.",
  ),
  (
    "paper",
    "the paper: Algorithm 1, to the letter",
    ("--preset=demo-paper",),
    "On the same network: one adaptation at the server on adversarial examples, then an "
    "independently noised copy for every client.",
  ),
  (
    "combined",
    "combined",
    ("--preset=demo",),
    "Adversarial training at the clients; then every copy is noised and healed at the server.",
  ),
)

# Who knows of noise or pools copies, with one attack that is quick.
# Two rounds of copies: healing more would take as long as the training.
ATTACKERS = ("own_copy", "noise_ensemble", "averaging:2", "colluding_mean")
ATTACK = "mi_fgsm:steps=10,loss=margin"
_IMAGES = 40


def demo(arguments: Sequence[str]) -> int:
  """Runs the three and writes the page; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  for argument in arguments:
    if argument.lstrip("-").partition("=")[0] == "defense":
      raise UserError("--defense: the demo compares three; python -m experiments.train runs one")
  configs = command_line.parse_variants(arguments, [words for _, _, words, _ in RUNS])
  folder = pathlib.Path(configs[0].run_dir or _new_folder()).expanduser()
  from fedsafe_tff.runs.report import side_by_side
  from fedsafe_tff.runs.report.run_folder import RunFolder
  from fedsafe_tff.runs.report.table import summary
  from fedsafe_tff.runs.run import Stopped, run

  entries = []
  for number, ((name, title, _, text), config) in enumerate(zip(RUNS, configs), 1):
    print(f"{number}/{len(RUNS)}: {title}", flush=True)
    try:
      path = run(dataclasses.replace(config, run_dir=str(folder / name)), report=False)
    except Stopped:
      print(f"stopped: the same command with --run_dir={folder} continues", flush=True)
      return 1
    print(summary(RunFolder.read(path), terminal=sys.stdout.isatty()), flush=True)
    try:
      attacked = _attacked(path, config)
    except KeyboardInterrupt:
      print(f"stopped: the same command with --run_dir={folder} continues", flush=True)
      return 1
    found = RunFolder.read(path)
    entries.append(side_by_side.Entry(title, text, found, found.again[attacked]))
  page = side_by_side.write(folder / "demo.html", "Three defences on embedded data", entries)
  print(f"page: {page}")
  return 0


def _attacked(path: pathlib.Path, config) -> str:
  """Has several attackers attack the run, for its report too; returns the results' folder."""
  from fedsafe_tff.evaluation.chosen import chosen
  from fedsafe_tff.runs import attack
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.progress import Progress

  settings = {
    "evaluation": "strong",
    "attack_eps": (max(config.attack_eps),),
    "attack_images": min(_IMAGES, config.attack_images or _IMAGES),
  }
  suite, moved = chosen(ATTACKERS, [ATTACK]), {"cache_dir": config.cache_dir}
  with Progress() as progress:
    # The run's own evaluation has asked whether it is masked.
    out = attack.attack_run(
      path, settings, suite=suite, masking=False, log=progress.note, **moved
    )
  build(path)
  return out.name


def _new_folder() -> pathlib.Path:
  import datetime

  return pathlib.Path("runs") / f"demo-{datetime.datetime.now():%Y%m%d-%H%M%S}"


if __name__ == "__main__":
  main.run(demo)
