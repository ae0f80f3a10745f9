"""Runs a command in this process as its binary would, and tells what a user would see."""

import contextlib
import dataclasses
import io
import sys
import traceback
from collections.abc import Callable, Sequence

import pytest

from fedsafe_tff.commands import main


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of a command.

  Attributes:
    code: Its exit code; None where it ended in a traceback.
    out: What it printed.
    err: What it wrote to standard error, or the traceback.
  """

  code: int | None
  out: str
  err: str

  @property
  def line(self) -> str:
    """The line that says what is wrong; empty where nothing is."""
    lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
    return lines[0] if lines else ""

  def check(self) -> "Outcome":
    """Asserts that it ended in one clear line, or did its work."""
    assert self.code is not None, self.err
    assert self.code in (0, 1, 2), self
    if self.code == 2:
      said = [line for line in self.err.splitlines() if line.startswith("error: ")]
      assert len(said) == 1 and len(said[0]) > len("error: ") + 10, self
    assert "Traceback" not in self.err, self.err
    return self


def call(work: Callable[[Sequence[str]], int | None], *arguments: object) -> Outcome:
  """Calls a command with a command line, as `python -m` would."""
  out, err = io.StringIO(), io.StringIO()
  code: int | None = None
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "argv", ["fedsafe", *map(str, arguments)])
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      try:
        main.run(work)
      except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
      except BaseException:
        traceback.print_exc()
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
          raise
  return Outcome(code, out.getvalue(), err.getvalue())
