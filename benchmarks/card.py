"""All that is to be checked on a machine with a GPU, in one command, with a folder to take away.

python -m benchmarks.card --out=FOLDER [--steps=check,placement,...] [--data_dir=MRI]

Each step is a command of its own with a limit of its own; its output goes to FOLDER/STEP.log while
it runs, pages and run folders beside it, and FOLDER/card.md says what each took and how it ended. A
step that fails does not stop those after it. In the order in which one wants to know: *check*
(kernels are found), *demo* (accuracy as on the CPU), *placement* (operations without a GPU kernel),
*repeats* (the same bits again), *gpu*, *pgd* and *transfer* (speed against a bare loop and against
cleverhans, Foolbox and ART), *paper* (rounds as the paper trains: wide network, 20 local epochs).
Without --data_dir all take generated images.
"""

import argparse
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main
from fedsafe_tff.data.files import atomic_path

STEPS = ("check", "demo", "placement", "repeats", "gpu", "pgd", "transfer", "paper")
_DEMO = ["--flagfile=flags/presets/demo.flags", "--runtime=device"]
_SHORT = ["--rounds=2", "--num_images=300", "--adaptation_epochs=2", "--attack_eps=0.012"]


def card(arguments: Sequence[str]) -> int:
  """Runs the steps; returns the exit code, 1 if one of them failed."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.card",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for all results")
  parser.add_argument("--steps", type=options.names(*STEPS), default=STEPS)
  parser.add_argument("--data_dir", default="", help="folder of the MRI, in Kaggle's layout")
  parser.add_argument("--paper_rounds", type=options.at_least(1), default=4)
  parser.add_argument("--minutes", type=float, default=8, help="limit of each step")
  values = parser.parse_args(arguments)
  values.out.mkdir(parents=True, exist_ok=True)
  rows, code = [], 0
  for step in values.steps:
    ended, seconds = _run(step, _command(step, values), values)
    rows.append(f"| {step} | {ended} | {seconds:.1f} |")
    code |= ended != 0
    page = ["| step | exit code | seconds |", "| --- | ---: | ---: |", *rows]
    with atomic_path(values.out / "card.md") as temporary:
      temporary.write_text("\n".join(page) + "\n")
    print(f"{step}: exit code {ended}, {seconds:.1f} s", flush=True)
  return code


def _run(step: str, command: list[str], values: argparse.Namespace) -> tuple[int, float]:
  begun = time.monotonic()
  with (values.out / f"{step}.log").open("w") as log:
    log.write(f"{' '.join(command)}\n")
    log.flush()
    try:
      code = subprocess.run(
        [sys.executable, "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        timeout=60 * values.minutes,
      ).returncode
    except subprocess.TimeoutExpired:
      log.write("stopped at its limit of time\n")
      code = 124
  return code, time.monotonic() - begun


def _command(step: str, values: argparse.Namespace) -> list[str]:
  out = values.out
  images = ["--synthetic"]
  if values.data_dir:
    images = [f"--data_dir={values.data_dir}", "--task=meningioma"]
  cache = f"--cache_dir={out}/cache"
  # The wide network is the paper's, and so is its batch of 100.
  wide = [*images, cache, "--conv_widths=wide", "--batch_size=100"]
  mri = ["--dataset=brain_tumor", "--task=meningioma", f"--data_dir={values.data_dir}"]
  return {
    "check": ["benchmarks.first_kernels"],
    "demo": ["experiments.train", *_DEMO, cache, f"--run_dir={out}/demo"],
    "placement": ["benchmarks.placement", *_DEMO[:1], *_SHORT, cache],
    "repeats": ["benchmarks.repeats", *_DEMO[:1], *_SHORT, cache],
    "gpu": ["benchmarks.gpu", *wide, "--xla", "--repeats=3", "--minutes=4", f"--out={out}/gpu.md"],
    "pgd": [
      *("benchmarks.pgd", *wide, "--steps=20", "--images=200", "--attack_batches=100"),
      *("--repeats=3", f"--out={out}/pgd.md"),
    ],
    "transfer": [
      *("benchmarks.transfer", *wide, "--images=200", "--copies=3,10", "--repeats=3"),
      f"--out={out}/transfer.md",
    ],
    "paper": [
      *("experiments.train", "--flagfile=flags/presets/paper.flags"),
      *((*mri,) if values.data_dir else ("--dataset=phantom", "--num_images=1400")),
      *(f"--rounds={values.paper_rounds}", cache, f"--run_dir={out}/paper"),
    ],
  }[step]


if __name__ == "__main__":
  main.run(card)
