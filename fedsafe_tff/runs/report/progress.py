"""Progress: a live line on a terminal, plain lines in a pipe or a log."""

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import rich.console
import rich.progress


def duration(seconds: float) -> str:
  """Seconds as M:SS or H:MM:SS."""
  seconds = int(round(seconds))
  hours, rest = divmod(seconds, 3600)
  minutes, seconds = divmod(rest, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
  """Shows rounds and notes; a context manager."""

  def __init__(self, stream: TextIO | None = None):
    """Writes to `stream`, standard output by default."""
    self._console = rich.console.Console(file=stream or sys.stdout, highlight=False, emoji=False)
    self._bar: rich.progress.Progress | None = None
    self._task: rich.progress.TaskID | None = None
    self._total = 0
    self._first = 0
    self._started = 0.0

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *error) -> None:
    if self._bar is not None:
      self._bar.stop()
      self._bar = None

  def _print(self, text: str) -> None:
    console = self._bar.console if self._bar is not None else self._console
    console.print(text, markup=False, soft_wrap=True)
    self._console.file.flush()

  def note(self, text: str) -> None:
    """Prints a line."""
    self._print(text)

  def start(self, total_rounds: int, done_rounds: int = 0) -> None:
    """Begins to count rounds, `done_rounds` of them being behind us."""
    self._total, self._first = total_rounds, done_rounds
    self._started = time.monotonic()
    if self._console.is_terminal:
      self._bar = rich.progress.Progress(
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.description}"),
        console=self._console,
      )
      self._bar.start()
      self._task = self._bar.add_task("first round", total=total_rounds, completed=done_rounds)

  def round(self, number: int, row: Mapping[str, Any]) -> None:
    """Shows round `number`, of which `row` is the row of `metrics.csv`."""
    elapsed = time.monotonic() - self._started
    left = elapsed / max(1, number - self._first) * (self._total - number)
    parts = [f"round {number}/{self._total}"]
    for label, name in (
      ("loss", "train_loss"),
      ("accuracy", "train_accuracy"),
      ("validation", "validation_accuracy"),
    ):
      if row.get(name) is not None:
        parts.append(f"{label} {row[name]:.3f}")
    if row.get("epsilon") is not None:
      parts.append(f"epsilon {row['epsilon']:.4g}")
    if row.get("adapted"):
      parts.append(f"adapted (accuracy {row['adaptation_accuracy']:.3f})")
    parts.append(f"left {duration(left)}")
    text = "  ".join(parts)
    if self._bar is not None:
      self._bar.update(self._task, completed=number, description=text)
      if number == self._total:
        self._bar.stop()
        self._bar = None
    else:
      self._print(text)
