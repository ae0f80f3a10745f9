import threading
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime.native import ComputationFailed, NativeRuntime, WorkerDied


@tff.tensorflow.computation(np.int32)
def increment(x):
  return x + 1


@tff.tensorflow.computation(np.int32)
def slow_increment(x):
  # A few seconds of small steps: long enough to be killed in the middle.
  return tf.while_loop(lambda i, _: i < 600_000, lambda i, a: (i + 1, a), [0, x + 1])[1]


@tff.tensorflow.computation(np.int32)
def refuse(x):
  with tf.control_dependencies([tf.debugging.assert_less(x, 0, message="no image for client 7")]):
    return tf.identity(x)


@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def total(values):
  return tff.federated_sum(values)


def _kill_during_a_call(runtime: NativeRuntime) -> int:
  return _during_a_call(runtime, runtime.kill_worker)


def _during_a_call(runtime: NativeRuntime, act) -> int:
  timer = threading.Timer(0.7, act)
  timer.start()
  try:
    return runtime.call(slow_increment, 1)
  finally:
    timer.join()


def test_runs_federated_computations_and_shows_the_error_of_an_operation(runtime):
  assert runtime.call(total, [1.0, 2.0, 4.0]) == 7.0
  before = runtime.worker_pid
  with pytest.raises(ComputationFailed, match="no image for client 7") as failure:
    runtime.call(refuse, 1)
  assert "\n" not in str(failure.value)
  with pytest.raises(TypeError):
    runtime.call(increment, "one")
  assert runtime.call(increment, 1) == 2
  assert runtime.worker_pid == before


def test_a_killed_worker_is_replaced_once_and_then_named(tmp_path):
  said = []
  log_path = tmp_path / "logs" / "worker.log"
  with NativeRuntime(log_path, threads=1, log=said.append) as runtime:
    first = runtime.worker_pid
    assert _kill_during_a_call(runtime) == 2
    assert len(said) == 1
    assert "SIGKILL" in said[0]
    second = runtime.worker_pid
    assert second != first
    with pytest.raises(WorkerDied, match="SIGKILL") as death:
      _kill_during_a_call(runtime)
    assert str(log_path) in str(death.value)
    assert isinstance(death.value, UserError)  # binaries say it in one line
    assert len(said) == 1
  assert not psutil.pid_exists(first)
  assert not psutil.pid_exists(second)


def test_a_worker_that_hangs_is_replaced_as_a_dead_one_and_a_long_call_is_no_hang(tmp_path):
  said = []
  with NativeRuntime(
    tmp_path / "worker.log", threads=1, silent_seconds=1.5, log=said.append
  ) as runtime:
    first = psutil.Process(runtime.worker_pid)
    begun = time.monotonic()
    while time.monotonic() - begun < 4.0:  # one call takes as long, or several
      assert runtime.call(slow_increment, 1) == 2
    assert said == []
    assert runtime.worker_pid == first.pid
    assert _during_a_call(runtime, first.suspend) == 2  # SIGSTOP
    assert len(said) == 1
    assert "hung (no sign of life for 1.5 s, killed): starting another" in said[0]
    assert not first.is_running()
    psutil.Process(runtime.worker_pid).suspend()  # between calls
    with pytest.raises(WorkerDied, match="hung .no sign of life for 1.5 s, killed; restarts"):
      runtime.call(increment, 1)


def test_a_worker_that_died_between_calls_is_replaced(tmp_path):
  said = []
  with NativeRuntime(tmp_path / "worker.log", log=said.append) as runtime:
    assert runtime.call(increment, 1) == 2  # the executor is cached now
    runtime.kill_worker()
    assert runtime.call(increment, 1) == 2
  assert len(said) == 1


def test_an_inner_runtime_leaves_the_outer_one_in_place(runtime, tmp_path):
  with NativeRuntime(tmp_path / "worker.log") as inner:
    assert inner.call(increment, 1) == 2
    assert runtime.call(increment, 2) == 3
  assert increment(3) == 4  # the default context is the outer runtime's again
  with pytest.raises(RuntimeError, match="not open"):
    inner.call(increment, 1)
