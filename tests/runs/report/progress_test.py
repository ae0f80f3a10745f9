import io

import pytest

from fedsafe_tff.runs.report import progress
from fedsafe_tff.runs.report.progress import Progress

ROW = {
  "round": 3,
  "train_loss": 0.51234,
  "train_accuracy": 0.75,
  "validation_accuracy": 0.625,
  "epsilon": None,
  "adapted": 0,
  "adaptation_accuracy": None,
}


class Terminal(io.StringIO):
  """A stream that says it is a terminal."""

  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """Seconds that the rounds believe to have passed."""
  now = [1000.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
    monkeypatch.delenv(name, raising=False)
  return now


def lines(stream):
  return stream.getvalue().splitlines()


def test_a_plain_line_per_round(clock):
  stream = io.StringIO()
  with Progress(stream) as shown:
    shown.start(10)
    clock[0] += 30
    shown.round(3, ROW)
    shown.round(4, ROW | {"epsilon": 12.3456, "adapted": 1, "adaptation_accuracy": 0.5})
  assert lines(stream) == [
    "round 3/10  loss 0.512  accuracy 0.750  validation 0.625  left 1:10",
    "round 4/10  loss 0.512  accuracy 0.750  validation 0.625  epsilon 12.35  "
    "adapted (accuracy 0.500)  left 0:45",
  ]


def test_what_is_left_counts_from_where_the_run_was_continued(clock):
  stream = io.StringIO()
  with Progress(stream) as shown:
    shown.start(100, 90)
    clock[0] += 600
    shown.round(91, ROW)
    shown.round(100, ROW)
  assert [line.split("left ")[1] for line in lines(stream)] == ["1:30:00", "0:00"]


def test_unknown_values_are_left_out(clock):
  stream = io.StringIO()
  with Progress(stream) as shown:
    shown.start(2)
    shown.round(1, {"train_loss": None, "epsilon": float("inf")})
  assert lines(stream) == ["round 1/2  epsilon inf  left 0:00"]


def test_notes_are_printed_as_they_are(clock):
  """No wrapping, no markup, no emoji, no colour."""
  notes = ["classes [bold]a[/bold] and :cat:", "x" * 300, "[1, 2] 'three' http://a.b"]
  stream = io.StringIO()
  with Progress(stream) as shown:
    for note in notes:
      shown.note(note)
  assert lines(stream) == notes


def test_a_line_is_there_as_soon_as_it_is_printed(tmp_path, clock):
  path = tmp_path / "log"
  with path.open("w", buffering=8192) as stream, Progress(stream) as shown:
    shown.note("first")
    assert path.read_text() == "first\n"


def test_a_terminal_gets_one_live_line(clock, monkeypatch):
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "150")
  stream = Terminal()
  with Progress(stream) as shown:
    shown.start(2)
    shown.round(1, ROW)
    shown.note("a note [with] :cat: brackets")
    shown.round(2, ROW)
    shown.note("after")
  text = stream.getvalue()
  assert "\x1b[" in text and "2/2" in text and "round 2/2  loss 0.512" in text
  assert "a note [with] :cat: brackets" in text and text.endswith("after\n")
