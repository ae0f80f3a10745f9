"""Progress over a whole sweep: a live line on a terminal, plain lines in a pipe or a log."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import rich.console
import rich.progress

from fedsafe_tff.paper.steps import Estimate, Step
from fedsafe_tff.runs.report.progress import duration

# In a log, rounds of a training are told this often; the end of a step always is.
_QUIET_SECONDS = 60.0


class SweepProgress:
  """Counts steps over all cells and tells how long the rest will take; a context manager.

  To the round loop it is what `report.progress.Progress` is.
  """

  def __init__(
    self, steps: Sequence[Step], estimate: Estimate | None = None, stream: TextIO | None = None
  ):
    """Begins.

    Args:
      steps: All steps to come.
      estimate: What is known of their duration.
      stream: Where to write; standard output by default.
    """
    self._left = list(steps)
    self._total = len(steps)
    self._estimate = estimate or Estimate()
    self._console = rich.console.Console(file=stream or sys.stdout, highlight=False, emoji=False)
    self._bar: rich.progress.Progress | None = None
    self._task: rich.progress.TaskID | None = None
    self._title = ""
    self._step: Step | None = None
    self._started = self._told = 0.0
    self._total_rounds = self._first_round = 0

  def __enter__(self) -> "SweepProgress":
    if self._console.is_terminal and self._total:
      self._bar = rich.progress.Progress(
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.description}"),
        console=self._console,
      )
      self._bar.start()
      self._task = self._bar.add_task("", total=self._total)
    return self

  def __exit__(self, *error) -> None:
    if self._bar is not None:
      self._bar.stop()
      self._bar = None

  def note(self, text: str) -> None:
    """Prints a line."""
    console = self._bar.console if self._bar is not None else self._console
    console.print(text, markup=False, soft_wrap=True)
    self._console.file.flush()

  def begin(self, step: Step, title: str) -> None:
    """A step begins; `title` says which."""
    self._step, self._title = step, title
    self._started = time.monotonic()
    if self._bar is not None:
      self._show(title)

  def end(self, result: str = "") -> float:
    """The step that began has ended; returns its seconds."""
    assert self._step is not None
    seconds = time.monotonic() - self._started
    self._estimate.add(self._step, seconds)
    self.drop([self._step])
    self._show(f"{self._title}: {result}" if result else self._title)
    return seconds

  def drop(self, steps: Sequence[Step]) -> None:
    """Steps that need not be taken any more."""
    for step in steps:
      if step in self._left:
        self._left.remove(step)
    self._step = None

  def start(self, total_rounds: int, done_rounds: int = 0) -> None:
    """The training that began has so many rounds, of which some are behind us."""
    self._total_rounds, self._first_round = total_rounds, done_rounds
    self._started = time.monotonic()

  def round(self, number: int, row: Mapping[str, Any]) -> None:
    """A round of the training ended; `row` is its row of `metrics.csv`."""
    if self._bar is None and time.monotonic() - self._told < _QUIET_SECONDS:
      return
    text = f"{self._title}: round {number}/{self._total_rounds}"
    if row.get("validation_accuracy") is not None:
      text += f", validation {row['validation_accuracy']:.3f}"
    elapsed = time.monotonic() - self._started
    per_round = elapsed / max(1, number - self._first_round)
    self._show(text, per_round * (self._total_rounds - number))

  def trial(self, text: str) -> None:
    """A trial of the attacks that began ended; in a log only some are told of."""
    if self._bar is not None or time.monotonic() - self._told >= _QUIET_SECONDS:
      self._show(f"{self._title}: {text}")

  def _show(self, text: str, of_this_step: float | None = None) -> None:
    """Shows a step; `of_this_step` are the seconds that are left of it, where they are known."""
    others = list(self._left)
    if of_this_step is not None and self._step in others:
      others.remove(self._step)
    seconds, complete = self._estimate.left(others)
    left = duration(seconds + (of_this_step or 0.0))
    text += f"  left {'' if complete else 'more than '}{left}"
    done = self._total - len(self._left)
    if self._bar is not None:
      self._bar.update(self._task, completed=done, description=text)
    else:
      self._told = time.monotonic()
      self.note(f"{done}/{self._total}  {text}")
