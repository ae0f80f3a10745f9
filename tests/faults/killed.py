"""Commands in processes that end by SIGKILL at a moment that is drawn: of time, or of files.

A fork server has TensorFlow and TFF imported, so that a session costs no seconds before it begins.
"""

import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import uuid
from collections.abc import Callable

import psutil

_MARK = "FEDSAFE_FAULTS"  # in the environment of a session and of all that it starts
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
_EVENTS = (
  "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree",
  "tempfile.mkstemp", "fcntl.flock",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Session:
  """What became of one.

  Attributes:
    killed: Whether a signal ended it; else it came to its end.
    code: Its exit code.
    seconds: How long it ran.
    events: How many moments of files it had; 0 where it was killed.
    said: What it printed.
  """

  killed: bool
  code: int
  seconds: float
  events: int
  said: str


class Server:
  """Starts sessions; a context manager."""

  def __init__(self, folder: pathlib.Path):
    """`folder` takes what sessions print."""
    self._folder = folder
    self._context = multiprocessing.get_context("forkserver")
    self._context.set_forkserver_preload(["tests.faults.warm"])

  def run(
    self,
    command: str,
    words: list[str],
    *,
    seconds: float | None = None,
    event: int | None = None,
    terminate: bool = False,
    setup: Callable[[], None] | None = None,
  ) -> Session:
    """Runs `fedsafe COMMAND WORDS`.

    Args:
      command: Its name.
      words: Its arguments.
      seconds: When to kill it; None for never.
      event: At which moment of files it kills itself: before it opens a file to write, renames,
        removes, locks; None for never.
      terminate: Whether SIGTERM comes half a second before, as a cluster sends it with a deadline.
      setup: Is called in the process before the command; a function of a module.
    """
    name = uuid.uuid4().hex
    log, count = self._folder / f"{name}.log", self._folder / f"{name}.count"
    given = (name, command, words, log, count, event, setup)
    process = self._context.Process(target=_session, args=given)
    started = time.monotonic()
    process.start()
    process.join(seconds if seconds is not None else 600)
    if terminate and process.is_alive():
      process.terminate()
      process.join(0.5)
    process.kill()  # does nothing to one that has ended
    process.join()
    took = time.monotonic() - started
    left = _left(name)
    assert not left, f"processes that outlive a session: {left}"
    said = log.read_text(errors="replace") if log.exists() else ""
    events = int(count.read_text()) if count.exists() else 0
    # SIGTERM, where it came before anything handled it.
    ended = process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)
    return Session(ended, process.exitcode, took, events, said)


def _left(name: str) -> list[str]:
  """Command lines of processes of a session that are there 10 seconds after its end."""
  deadline = time.monotonic() + 10
  while True:
    found = []
    for process in psutil.process_iter():
      with contextlib.suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == name:
          found.append(" ".join(process.cmdline()))
    if not found or time.monotonic() > deadline:
      return found
    time.sleep(0.1)


def _session(
  name: str,
  command: str,
  words: list[str],
  log: pathlib.Path,
  count: pathlib.Path,
  event: int | None,
  setup: Callable[[], None] | None = None,
) -> None:
  os.environ[_MARK] = name
  handle = os.open(log, os.O_WRONLY | os.O_CREAT)
  os.dup2(handle, 1)
  os.dup2(handle, 2)
  sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
  sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
  from fedsafe_tff.commands import main
  from fedsafe_tff.runs.report import build

  build._PLOTS = ()  # a third of the time, and nothing reads them
  seen = 0

  def hook(what: str, arguments: tuple) -> None:
    nonlocal seen
    writes = what == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
    if writes or what in _EVENTS:
      seen += 1
      if seen == event:
        os.kill(os.getpid(), signal.SIGKILL)

  if setup is not None:
    setup()
  sys.addaudithook(hook)
  sys.argv = [command, *words]
  module = importlib.import_module(f"fedsafe_tff.commands.{command}")
  code = 1
  try:
    main.run(getattr(module, command))
  except SystemExit as end:
    code = end.code or 0
  finally:
    number = seen
    count.write_text(str(number))
    for stream in (sys.stdout, sys.stderr):
      if stream is not None:
        stream.flush()
    os._exit(code)
