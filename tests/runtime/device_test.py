import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import gpus, in_process
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.runtime.failures import ComputationFailed
from fedsafe_tff.runtime.parts import LoadedPart
from tests import small
from tests.runtime import rounds

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_AT_CLIENTS = tff.FederatedType(np.int32, tff.CLIENTS)


@pytest.fixture(scope="module")
def device():
  with DeviceRuntime() as runtime:
    yield runtime


@tff.tensorflow.computation(np.int32)
def below_three(x):
  with tf.control_dependencies([tf.debugging.assert_less(x, 3, message="no image")]):
    return tf.identity(x)


@tff.federated_computation(
  tff.FederatedType(tff.StructType([("round", np.int32)]), tff.SERVER), _AT_CLIENTS
)
def checked_total(state, clients):
  return state, tff.federated_sum(tff.federated_map(below_three, clients))


def test_every_stage_gives_what_it_gives_natively(device, runtime, tmp_path):
  store = small.store(tmp_path)
  found = tf.nest.flatten(rounds.linear(device.call, store))
  expected = tf.nest.flatten(rounds.linear(runtime.call, store, "select"))
  rounds.assert_same(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_three_devices_give_what_the_native_worker_gives(runtime, tmp_path):
  store = small.store(tmp_path)
  program = subprocess.Popen(
    [sys.executable, "-m", "tests.runtime.rounds", str(tmp_path)],
    cwd=_ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, stderr=subprocess.PIPE, text=True,
  )
  expected = rounds.outcomes(runtime.call, store, "select")
  said = program.communicate(timeout=300)[1]
  assert program.returncode == 0, said
  found = pickle.loads((tmp_path / "device.pickle").read_bytes())
  # TFF draws this noise, here a tiny one, from an unseeded generator.
  rounds.assert_same(found.pop("central_dp"), expected.pop("central_dp"), atol=1e-3, rtol=1e-3)
  # The same kernels in the same order; equal to the last bit where it was tried, a FedProx state
  # aside. The worker runs its graphs as they are, this process rewrites them first, and rewritten
  # arithmetic may round differently: hence a tolerance.
  rounds.assert_same(found, expected, atol=1e-5, rtol=1e-5)


def test_a_failed_operation_names_client_round_and_stage(device):
  _, total = device.call(checked_total, {"round": 4}, [0, 1, 2])
  assert total == 3
  where = "client 7, round 5, stage work"
  with pytest.raises(ComputationFailed, match=f"{where} .*no image") as failure:
    device.call(checked_total, {"round": 4}, [0, 7, 2])
  assert "\n" not in str(failure.value)
  with pytest.raises(ComputationFailed, match="no image"):
    device.call(below_three, 5)


def test_no_call_prints_its_tensors(device, monkeypatch):
  """TensorFlow would, into an error that it drops, and take longer for it than for the work."""
  base = next(c for c in type(tf.constant(0)).__mro__ if "__repr__" in vars(c))

  def printed(tensor):
    raise AssertionError("a tensor was printed")

  with monkeypatch.context() as patch:
    patch.setattr(base, "__repr__", printed)
    assert device.call(checked_total, {"round": 4}, [0, 1, 2])[1] == 3


def test_values_of_other_types_are_refused(device):
  with pytest.raises(TypeError):
    device.call(below_three, "one")
  with pytest.raises(TypeError):
    device.call(below_three, [1, 2])
  with pytest.raises(TypeError):
    device.call(checked_total, {"turn": 4}, [0])


def test_results_come_back_as_natively(device, runtime):
  @tff.tensorflow.computation(np.int32)
  def pieces(x):
    return {"a": tf.fill([2], x), "b": [tf.cast(x, tf.float32), tf.constant("text")]}

  @tff.federated_computation(_AT_CLIENTS, tff.FederatedType(np.float32, tff.SERVER))
  def mixed(clients, value):  # clients first, two results at the clients, one for all alike
    return tff.federated_map(pieces, clients), tff.federated_broadcast(value)

  @tff.federated_computation(_AT_CLIENTS)
  def total(clients):
    return tff.federated_sum(clients)

  for computation, arguments in (
    (pieces, (3,)), (mixed, ([1, 2, 3], 0.5)), (total, ([1, 2, 3],)), (total, ([],))
  ):
    here, there = device.call(computation, *arguments), runtime.call(computation, *arguments)
    rounds.assert_same(here, there)


def test_tables_of_two_computations_are_kept_apart(device):
  def lookup(content):
    @tff.tensorflow.computation(np.int32)
    def find(x):
      entries = tf.lookup.KeyValueTensorInitializer(tf.constant([1]), tf.constant([content]))
      return tf.lookup.StaticHashTable(entries, -1, experimental_is_anonymous=False).lookup(x)

    return find

  first, second = lookup(10), lookup(20)
  assert [device.call(c, 1) for c in (first, second, first)] == [10, 20, 10]


def test_a_data_set_is_an_argument(device):
  @tff.tensorflow.computation(tff.SequenceType(np.int64))
  def total(dataset):
    return dataset.reduce(np.int64(0), lambda a, b: a + b)

  assert device.call(total, tf.data.Dataset.range(5)) == 10
  with pytest.raises(UserError, match="tf.data.Dataset"):
    device.call(total, [1, 2])
  with pytest.raises(TypeError, match="expected a data set of int64, found one of float32"):
    device.call(total, tf.data.Dataset.from_tensors(1.0))


def test_select_and_mixed_placements_are_user_errors(device):
  @tff.tensorflow.computation(np.int32, np.int32)
  def pick(value, key):
    return value + key

  @tff.tensorflow.computation(np.int32)
  def as_keys(x):
    return tf.reshape(x, [1])

  at_server = tff.FederatedType(np.int32, tff.SERVER)

  @tff.federated_computation(at_server, _AT_CLIENTS)
  def select(value, clients):
    keys = tff.federated_map(as_keys, clients)
    return tff.federated_select(keys, tff.federated_value(9, tff.SERVER), value, pick)

  @tff.federated_computation(at_server, _AT_CLIENTS)
  def both(value, clients):
    return value, clients

  with pytest.raises(UserError, match="federated_select"):
    device.call(select, 1, [0, 1])
  with pytest.raises(UserError, match="results at the server or at the clients"):
    device.call(both, 1, [0, 1])


@pytest.mark.skipif(gpus.visible(), reason="a GPU has one client at a time")
def test_a_cpu_has_as_many_clients_at_once_as_threads(monkeypatch):
  run, pair = LoadedPart.__call__, threading.Barrier(2)

  def met(self, *arguments):
    if self.part.name == "work":
      pair.wait(30)  # broken, and so an error, where a client runs alone
    return run(self, *arguments)

  with monkeypatch.context() as patch, DeviceRuntime(threads=2) as runtime:
    patch.setattr(LoadedPart, "__call__", met)
    assert runtime.call(checked_total, {"round": 4}, [0, 1, 2, 0])[1] == 3
  most = _most_at_once(monkeypatch)
  with DeviceRuntime(threads=1) as runtime:
    assert runtime.call(checked_total, {"round": 4}, [0, 1, 2, 0])[1] == 3
  assert most() == len(runtime.devices)


@pytest.mark.skipif(gpus.visible(), reason="a GPU has one client at a time")
def test_clients_side_by_side_give_the_bits_of_one_after_the_other(tmp_path):
  store = small.store(tmp_path)
  found = []
  for threads in (1, 4):
    with DeviceRuntime(threads=threads) as runtime:
      found.append(tf.nest.flatten(rounds.linear(runtime.call, store)))
  rounds.assert_same(*found, atol=0, rtol=0)


def test_clients_that_share_variables_take_turns(monkeypatch):
  @tff.tensorflow.computation(np.int32)
  def kept(x):
    variable = tf.Variable(0)
    with tf.control_dependencies([variable.assign_add(x)]):
      return variable.read_value()

  @tff.federated_computation(_AT_CLIENTS)
  def total(clients):
    return tff.federated_sum(tff.federated_map(kept, clients))

  most = _most_at_once(monkeypatch, seconds=0.005)
  with DeviceRuntime(threads=4) as runtime:
    assert runtime.call(total, list(range(40))) == 780
  assert most() <= len(runtime.devices)


def _most_at_once(monkeypatch, seconds=0.0):
  """Tells how many clients have run side by side since; each takes longer by so many seconds."""
  here, most, lock = 0, 0, threading.Lock()
  run = LoadedPart.__call__

  def counted(self, *arguments):
    nonlocal here, most
    counts = self.part.name == "work"
    with lock:
      here += counts
      most = max(most, here)
    try:
      time.sleep(counts * seconds)
      return run(self, *arguments)
    finally:
      with lock:
        here -= counts

  monkeypatch.setattr(LoadedPart, "__call__", counted)
  return lambda: most


@pytest.mark.skipif(gpus.visible(), reason="a GPU has one client at a time")
def test_many_threads_do_not_hold_the_memory_of_as_many_clients(monkeypatch):
  @tff.federated_computation(_AT_CLIENTS)
  def total(clients):
    return tff.federated_sum(clients)

  most = _most_at_once(monkeypatch, seconds=0.02)
  with DeviceRuntime(threads=64) as runtime:
    assert runtime.call(total, list(range(80))) == 3160
    assert 2 < most() <= max(8, len(runtime.devices))


def test_few_results_wait_at_a_time(monkeypatch):
  @tff.federated_computation(_AT_CLIENTS)
  def total(clients):
    return tff.federated_sum(clients)

  ahead, most, lock = 0, 0, threading.Lock()
  run = LoadedPart.__call__

  def counted(self, *arguments):
    nonlocal ahead, most
    with lock:
      ahead += {"work": 1, "accumulate": -1}.get(self.part.name, 0)
      most = max(most, ahead)
    return run(self, *arguments)

  monkeypatch.setattr(LoadedPart, "__call__", counted)
  with DeviceRuntime(threads=3) as runtime:
    assert runtime.call(total, list(range(40))) == 780
  assert ahead == 0
  assert most <= 2 * (len(runtime.devices) if gpus.visible() else 3) + 1


def test_runtimes_nest_and_close(runtime):
  with DeviceRuntime() as inner:
    assert below_three(1) == 1  # through the default context, as TFF's own processes do
    assert runtime.call(below_three, 2) == 2
  assert below_three(2) == 2  # the outer runtime's again
  with pytest.raises(RuntimeError, match="not open"):
    inner.call(below_three, 1)


def test_a_gpu_that_would_lie_idle_is_an_error(tmp_path, monkeypatch):
  program = tmp_path / "nvidia-smi"
  program.write_text("#!/bin/sh\necho 'Big Card 9000'\n")
  program.chmod(0o755)
  monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  if gpus.visible():
    pytest.skip("TensorFlow sees a GPU here")
  with pytest.raises(UserError, match="Big Card 9000.*requirements-gpu.txt"), DeviceRuntime():
    pass
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
  with DeviceRuntime() as runtime:
    assert runtime.devices[0] == "CPU:0"


def test_memory_growth_or_a_limit_is_set_for_every_gpu(monkeypatch):
  said = []
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
  monkeypatch.setattr(
    tf.config.experimental, "set_memory_growth", lambda gpu, on: said.append((gpu, on))
  )
  monkeypatch.setattr(
    tf.config, "set_logical_device_configuration",
    lambda gpu, limits: said.append((gpu, limits[0].memory_limit)),
  )
  gpus.configure()
  assert said == [("GPU:0", True), ("GPU:1", True)]
  said.clear()
  gpus.configure(4096)
  assert said == [("GPU:0", 4096), ("GPU:1", 4096)]

  def too_late(gpu, on):
    raise RuntimeError("already initialized")

  monkeypatch.setattr(tf.config.experimental, "set_memory_growth", too_late)
  with pytest.raises(UserError, match="already initialized"):
    gpus.configure()


@pytest.mark.parametrize(
  "kind, message, advice",
  [
    (tf.errors.ResourceExhaustedError, "OOM when allocating", "lower --batch_size"),
    # What TensorFlow says on a card whose memory another process holds.
    (tf.errors.UnimplementedError, "DNN library is not found.", "--gpu_memory_limit"),
  ],
)
def test_failures_of_memory_say_what_to_do(kind, message, advice):
  said = str(in_process.failure(kind(None, None, message), "client 0, stage work"))
  assert said.startswith("client 0, stage work: ") and advice in said
