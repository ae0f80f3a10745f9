"""A small program over the native runtime; the exit tests run it: program.py LOG HOW.

It prints the worker's process id, then leaves in the way `HOW` names or waits to be ended.
"""

import signal
import sys
import time

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.runtime.native import NativeRuntime
from fedsafe_tff.runtime.signals import graceful_stop


@tff.tensorflow.computation(np.int32)
def increment(x):
  return x + 1


@tff.tensorflow.computation(np.int32)
def endless(x):
  return tf.while_loop(lambda a: a > 0, lambda a: (tf.identity(a),), [x])[0]


def main(log_path: str, how: str) -> None:
  # A shell that starts the tests in the background has them, and so this, ignore Ctrl-C.
  signal.signal(signal.SIGINT, signal.default_int_handler)
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


if __name__ == "__main__":
  main(*sys.argv[1:])
