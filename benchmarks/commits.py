r"""Rounds and whole runs of `experiments.train` by commits or by flags, which take turns.

python -m benchmarks.commits --contender="COMMIT [--flag=value ...]" \
  --contender="COMMIT [...]" [--repeats=5] [--out=FILE] -- --flag=value ...

Flags behind `--` are given to all contenders, those of a contender to it alone. Each commit is
checked out into a temporary folder and runs in this environment, with one cache of images for each
contender, filled before anything is measured. Figures are medians with least and greatest; ratios
are of the repeats in which both took their turn, over the first contender.
"""

import csv
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks import measure, options
from benchmarks.page import Page
from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SETS_PLACES = re.compile(r"--(run_dir|cache_dir)\b")


class Contender:
  """A commit and its flags."""

  def __init__(self, text: str, common: Sequence[str], folder: pathlib.Path, number: int):
    """Checks the commit out.

    Args:
      text: The commit, and its flags behind it.
      common: Flags of all contenders.
      folder: For the checkout, its cache and its runs.
      number: Its place among the contenders.

    Raises:
      UserError: The commit can't be checked out.
    """
    words = text.split()
    if not words:
      raise UserError("--contender is empty: give a commit, such as HEAD, and flags behind it")
    self.commit, self.flags = words[0], words[1:]
    self.name = text
    self._common = list(common)
    self._folder = folder / str(number)
    self._checkout = self._folder / "checkout"
    self._count = 0
    self.rounds: list[float] = []
    self._check_out()

  def _check_out(self) -> None:
    self._checkout.mkdir(parents=True)
    archive = subprocess.run(
      ["git", "-C", str(_ROOT), "archive", "--format=tar", self.commit], capture_output=True
    )
    if archive.returncode:
      said = archive.stderr.decode(errors="replace").strip().splitlines()
      raise UserError(f"--contender: {self.commit} is no commit here: {said[-1] if said else ''}")
    subprocess.run(["tar", "-x", "-C", str(self._checkout)], input=archive.stdout, check=True)

  def __call__(self) -> float:
    """Runs once; returns the seconds of the whole run and keeps those of a round."""
    self._count += 1
    run_dir = self._folder / f"run-{self._count}"
    command = [
      sys.executable, "-m", "experiments.train", *self._common, *self.flags,
      f"--run_dir={run_dir}", f"--cache_dir={self._folder / 'cache'}",
    ]  # fmt: skip
    begun = time.perf_counter()
    run = subprocess.run(
      command, cwd=self._checkout, capture_output=True, text=True, errors="replace"
    )
    seconds = time.perf_counter() - begun
    if run.returncode:
      said = (run.stdout + run.stderr).strip().splitlines()[-3:]
      raise UserError(f"{self.name} ended with code {run.returncode}: {' / '.join(said)}")
    with (run_dir / "metrics.csv").open(newline="") as file:
      rounds = [float(row["seconds"]) for row in csv.DictReader(file)]
    # Graphs are built in the first round.
    self.rounds.append(measure.Spread.of(rounds[1:] or rounds).median)
    return seconds


def commits(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.plain_parser("commits", __doc__)
  parser.add_argument("--contender", action="append", default=[], help="a commit and its flags")
  parser.add_argument("--repeats", type=options.at_least(1), default=5, help="runs of each")
  parser.add_argument("--out", default="docs/benchmarks/commits.md", help="empty: only print")
  own, common = _split(arguments)
  values = parser.parse_args(own)
  if len(values.contender) < 2:
    raise UserError("give two contenders at least, each as --contender='COMMIT [--flag=value ...]'")
  for words in (*values.contender, *common):
    if found := _SETS_PLACES.search(words):
      raise UserError(f"{found.group()} is set by the benchmark: leave it out")
  with tempfile.TemporaryDirectory() as folder:
    contenders = [
      Contender(text, common, pathlib.Path(folder), number)
      for number, text in enumerate(values.contender)
    ]
    names = [f"{number + 1}: {contender.name}" for number, contender in enumerate(contenders)]
    whole = measure.interleaved(
      dict(zip(names, contenders)),
      values.repeats,
      log=lambda text: print(text, file=sys.stderr, flush=True),
    )
  # The first run of each has filled its cache and is not measured.
  rounds = {name: made.rounds[1:] for name, made in zip(names, contenders)}
  page = Page("commits", __doc__.split("\n\n", 2)[2], arguments)
  page.machine()
  for what, seconds in (("s a round after the first", rounds), ("s the whole run", whole)):
    first = seconds[names[0]]
    rows = [
      (name, measure.Spread.of(mine).text(), measure.ratio(mine, first).text())
      for name, mine in seconds.items()
    ]
    page.table(("contender", what, "over the first"), rows)
  page.publish(values.out)
  return 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
  """The benchmark's own flags, and those of all contenders behind `--`."""
  words = list(arguments)
  if "--" not in words:
    return words, []
  place = words.index("--")
  return words[:place], words[place + 1 :]


if __name__ == "__main__":
  main.run(commits)
