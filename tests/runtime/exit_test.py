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
  programs: list[subprocess.Popen] = []
  try:
    _start_and_end(tmp_path, programs)
  finally:  # a failure must not leave the others behind
    for program in programs:
      program.kill()


def _start_and_end(tmp_path: pathlib.Path, programs: list[subprocess.Popen]) -> None:
  # All at once: each program spends its time importing TFF.
  for number, (how, _, _) in enumerate(_ENDS):
    with (tmp_path / f"{number}.err").open("wb") as err:
      programs.append(
        subprocess.Popen(
          [sys.executable, str(_PROGRAM), str(tmp_path / f"{number}.log"), how],
          stdout=subprocess.PIPE,
          stderr=err,
          env=_environment(),
          start_new_session=True,  # its own process group, as a terminal's foreground job
        )
      )
  for number, (program, (how, sent, code)) in enumerate(zip(programs, _ENDS)):
    line = program.stdout.readline()
    said = (tmp_path / f"{number}.err").read_text()
    assert line.strip().isdigit(), (how, said)
    worker = int(line)
    if how == "call":
      _wait_until_it_computes(worker)
    if sent is not None:
      assert psutil.pid_exists(worker)
      os.killpg(program.pid, sent)  # as Ctrl-C does: to the whole group
    rest = program.communicate(timeout=_LIMIT)[0].decode()
    said = (tmp_path / f"{number}.err").read_text()
    assert program.returncode == code, (how, sent, said)
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
