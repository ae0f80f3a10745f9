"""No worker survives a program, however it ends, and a pipe behind it closes."""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import psutil

_PROGRAM = pathlib.Path(__file__).with_name("program.py")
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_LIMIT = 90
# How the program is told to leave, the signal it is sent, its exit code.
_ENDS = (
  ("normal", None, 0),
  ("exit", None, 3),
  ("exception", None, 1),
  ("stop", signal.SIGINT, 0),
  ("stop", signal.SIGTERM, 0),
  ("call", signal.SIGINT, -signal.SIGINT),
  ("wait", signal.SIGTERM, -signal.SIGTERM),
  ("wait", signal.SIGKILL, -signal.SIGKILL),
)


def _environment() -> dict[str, str]:
  return os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def _gone(pid: int, seconds: float = 10.0) -> bool:
  deadline = time.monotonic() + seconds
  while time.monotonic() < deadline:
    with contextlib.suppress(psutil.NoSuchProcess):
      if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
        continue
    return True
  return False


def _wait_until_it_computes(pid: int, seconds: float = 3.0) -> None:
  """The signal is to meet a program that waits for its worker, not one that still compiles."""
  worker = psutil.Process(pid)
  before = worker.cpu_times().user
  deadline = time.monotonic() + _LIMIT
  while worker.cpu_times().user < before + seconds:
    assert time.monotonic() < deadline, "the call never began"
    time.sleep(0.05)


def test_no_worker_survives(tmp_path):
  pipes = [os.pipe() for _ in _ENDS]
  # One program imports TFF, which takes it seconds, and forks the others.
  words = [f"{how}={write}" for (how, _, _), (_, write) in zip(_ENDS, pipes)]
  starter = subprocess.Popen(
    [sys.executable, str(_PROGRAM), str(tmp_path), *words],
    stdout=subprocess.PIPE, text=True, env=_environment(), pass_fds=[write for _, write in pipes],
  )
  pids = []
  try:
    for _, write in pipes:
      os.close(write)
    pids = [int(word) for word in starter.stdout.readline().split()]
    _end(tmp_path, pids, [read for read, _ in pipes])
    ended = dict(line.split() for line in starter.communicate(timeout=_LIMIT)[0].splitlines())
    for number, (how, sent, code) in enumerate(_ENDS):
      assert int(ended[str(number)]) == code, (how, sent, (tmp_path / f"{number}.err").read_text())
  finally:  # a failure must not leave the others behind
    for pid in pids:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    starter.kill()


def _end(tmp_path: pathlib.Path, pids: list[int], pipes: list[int]) -> None:
  for number, (pid, pipe, (how, sent, _)) in enumerate(zip(pids, pipes, _ENDS, strict=True)):
    with os.fdopen(pipe) as stdout:
      line = stdout.readline()
      said = (tmp_path / f"{number}.err").read_text()
      assert line.strip().isdigit(), (how, said)
      worker = int(line)
      if how == "call":
        _wait_until_it_computes(worker)
      if sent is not None:
        assert psutil.pid_exists(worker)
        os.killpg(pid, sent)  # as Ctrl-C does: to the whole group
      rest = stdout.read()  # to its end: nobody holds it any more
    said = (tmp_path / f"{number}.err").read_text()
    assert _gone(worker), (how, sent)
    assert "__del__" not in said, said
    if how == "stop":
      assert rest.strip() == sent.name
    if how == "exception":
      assert "ValueError: on purpose" in said


def test_a_pipe_behind_a_killed_program_closes(tmp_path):
  # `cat` ends only when nobody holds the write end any more: not the program, not its worker.
  command = shlex.join([sys.executable, str(_PROGRAM), str(tmp_path / "worker.log"), "wait"])
  shell = subprocess.Popen(
    ["bash", "-c", f"{command} 2>/dev/null | cat"], stdout=subprocess.PIPE, env=_environment()
  )
  worker = psutil.Process(int(shell.stdout.readline()))
  worker.parent().kill()
  assert shell.communicate(timeout=_LIMIT)[0] == b""
  assert _gone(worker.pid)
