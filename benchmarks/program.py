"""A contender that runs as a program of its own, in this environment or another.

The protocol: the program gets a task folder (`task.json`, `task.npz`) as its last argument. It
prints a line `READY`, then, for each line `round` on its standard input, runs a round from the
initial weights and prints a line of JSON, `{"seconds": ..., "weights": FILE}`. It ends when its
input does. Whatever else it prints is taken for its log. `peers/serve.py` is the program's side.
"""

import json
import os
import pathlib
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError

READY, PREFIX = "READY", "ROUND "
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_END_SECONDS = 30.0
# A program that hangs (a simulator whose engine crashed) is ended after this time.
_LIMIT_SECONDS = 900.0


def write_task(folder: pathlib.Path, work, clients, **settings) -> pathlib.Path:
  """Writes what a program computes on; returns the folder.

  Args:
    folder: Where; it is made.
    work: The workload.
    clients: Images and labels of each client.
    **settings: More for `task.json`.
  """
  from benchmarks.workload import LEARNING_RATE, SEED

  folder.mkdir(parents=True)
  mean, stddev = work.normalisation
  task = {
    "input_shape": work.input_shape,
    "num_classes": work.num_classes,
    "conv_widths": work.conv_widths,
    "dense_widths": work.dense_widths,
    "mean": mean,
    "stddev": stddev,
    "batch_size": work.batch_size,
    "learning_rate": LEARNING_RATE,
    "clients": len(clients),
  }
  (folder / "task.json").write_text(json.dumps(task | settings))
  start = work.model().init(keys.fold(keys.root(SEED), keys.INIT))
  arrays = {f"weight_{i:03d}": weight.numpy() for i, weight in enumerate(start)}
  np.savez(folder / "start.npz", **arrays)
  for index, (images, labels) in enumerate(clients):
    np.save(folder / f"images_{index}.npy", images)
    np.save(folder / f"labels_{index}.npy", labels)
  return folder


class Program:
  """A running program; a context manager, and callable as a contender."""

  def __init__(self, command: Sequence[str], task: pathlib.Path):
    self._command = [*command, str(task)]
    self._task = task
    self._process: subprocess.Popen | None = None
    self._said: deque[str] = deque(maxlen=40)
    self.weights: list[np.ndarray] = []

  def __enter__(self) -> "Program":
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
      self._process = subprocess.Popen(
        self._command,
        cwd=_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is ours; at the end its children go with it
      )
    except OSError as error:
      raise UserError(f"{self._command[0]} can't be started ({error.strerror})") from None
    threading.Thread(target=self._read_errors, daemon=True).start()
    try:
      self._read_until(READY)
    except BaseException:
      self.close()
      raise
    return self

  def __exit__(self, *error) -> None:
    self.close()

  def _read_errors(self) -> None:
    self._said.extend(line.rstrip() for line in self._process.stderr)

  def _read_until(self, prefix: str) -> str:
    timer = threading.Timer(_LIMIT_SECONDS, self._kill)
    timer.start()
    try:
      for line in self._process.stdout:
        if line.startswith(prefix):
          return line.removeprefix(prefix).strip()
        self._said.append(line.rstrip())
    finally:
      timer.cancel()
    code = self._process.wait()
    raise UserError(f"{self._command[2]} ended with exit code {code}: {' | '.join(self._said)}")

  def __call__(self) -> float:
    """Runs a round; returns the seconds that the program measured."""
    try:
      self._process.stdin.write("round\n")
      self._process.stdin.flush()
    except BrokenPipeError:
      pass  # reading tells why
    answer = json.loads(self._read_until(PREFIX))
    with np.load(answer["weights"]) as archive:
      self.weights = [archive[name] for name in sorted(archive)]
    return answer["seconds"]

  def _kill(self) -> None:
    try:
      os.killpg(self._process.pid, signal.SIGKILL)  # its group: the process is its leader
    except ProcessLookupError:
      pass

  def close(self) -> None:
    """Ends the program and what it started; a second call does nothing."""
    if self._process is None:
      return
    self._process.stdin.close()
    try:
      self._process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
      pass
    self._kill()
    self._process.wait()
    self._process.stdout.close()
    self._process = None
