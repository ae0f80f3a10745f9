"""Ctrl-C and SIGTERM as a request to finish the round, not as an accident."""

import contextlib
import signal
from collections.abc import Iterator


class StopRequest:
  """Whether somebody asked the program to stop, and how."""

  def __init__(self):
    self.requested = False
    self.signal_name = ""


@contextlib.contextmanager
def graceful_stop() -> Iterator[StopRequest]:
  """Yields a `StopRequest` that the first SIGINT or SIGTERM sets.

  A second signal raises KeyboardInterrupt at once. The handlers before are put back at the end.
  """
  stop = StopRequest()

  def handle(number, frame):
    del frame
    if stop.requested:
      raise KeyboardInterrupt
    stop.requested = True
    stop.signal_name = signal.Signals(number).name

  numbers = (signal.SIGINT, signal.SIGTERM)
  before = {number: signal.signal(number, handle) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
