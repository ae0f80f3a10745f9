"""A small program over the native runtime; the exit tests run it: program.py LOG HOW.

It prints the worker's process id, then leaves in the way `HOW` names or waits to be ended.

`program.py FOLDER HOW=FD HOW=FD ...` starts one such program for each HOW, number N with
FOLDER/N.log as its log, FOLDER/N.err as its stderr and a pipe as its stdout, all forked from one
that has imported TFF, which takes seconds. It prints their process ids, then, as they end, number
and exit code of each.
"""

import os
import signal
import sys
import time

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.runtime.native import NativeRuntime
from fedsafe_tff.runtime.signals import graceful_stop


def computations():
  """Built in the program that runs them: before a fork TensorFlow must not have begun."""

  @tff.tensorflow.computation(np.int32)
  def increment(x):
    return x + 1

  @tff.tensorflow.computation(np.int32)
  def endless(x):
    return tf.while_loop(lambda a: a > 0, lambda a: (tf.identity(a),), [x])[0]

  return increment, endless


def main(log_path: str, how: str) -> None:
  # A shell that starts the tests in the background has them, and so this, ignore Ctrl-C.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  increment, endless = computations()
  runtime = NativeRuntime(log_path)
  runtime.__enter__()  # no `with`: whatever ends the program must also end the worker
  assert runtime.call(increment, 41) == 42
  if how == "stop":
    with graceful_stop() as stop:
      print(runtime.worker_pid, flush=True)
      while not stop.requested:
        time.sleep(0.05)
      assert runtime.call(increment, 1) == 2  # Ctrl-C has not reached the worker
      print(stop.signal_name, flush=True)
    return
  print(runtime.worker_pid, flush=True)
  if how == "exception":
    raise ValueError("on purpose")
  if how == "exit":
    sys.exit(3)
  if how == "call":
    runtime.call(endless, 1)
  while how == "wait":
    time.sleep(0.05)


def fork(folder: str, programs: list[str]) -> None:
  """Returns in none of the programs and, when all have ended, in the one that started them."""
  pipes = [int(program.partition("=")[2]) for program in programs]
  numbers = {}
  for number, program in enumerate(programs):
    pid = os.fork()
    if pid:
      numbers[pid] = number
      continue
    os.setsid()  # its own process group, as a terminal's foreground job
    os.dup2(pipes[number], 1)
    os.dup2(os.open(f"{folder}/{number}.err", os.O_WRONLY | os.O_CREAT), 2)
    os.closerange(min(pipes), max(pipes) + 1)
    main(f"{folder}/{number}.log", program.partition("=")[0])
    sys.exit()
  os.closerange(min(pipes), max(pipes) + 1)
  print(*numbers, flush=True)
  while numbers:
    pid, status = os.wait()
    print(numbers.pop(pid), os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
  if "=" in sys.argv[-1]:
    fork(sys.argv[1], sys.argv[2:])
  else:
    main(*sys.argv[1:])
