import contextlib
import os
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import ray_cluster, ray_runtime
from fedsafe_tff.runtime.failures import ComputationFailed
from fedsafe_tff.runtime.ray_runtime import ActorsLost, RayRuntime
from tests import small
from tests.runtime import rounds

# Ray's actors give way to all that runs beside them, and so would never start where tests do.
os.environ.setdefault("RAY_worker_niceness", "0")

_AT_CLIENTS = tff.FederatedType(np.int32, tff.CLIENTS)
_ROUND = tff.FederatedType(tff.StructType([("round", np.int32)]), tff.SERVER)
# The death of a machine is noticed in a second instead of half a minute.
_QUICK = {
  "health_check_initial_delay_ms": 0,
  "health_check_period_ms": 300,
  "health_check_failure_threshold": 3,
}


@tff.tensorflow.computation(np.int32)
def slow(x):
  # About a second of small steps: long enough for a machine to die in the middle.
  return tf.while_loop(lambda i, _: i < 200_000, lambda i, a: (i + 1, a), [0, x])[1]


@tff.tensorflow.computation(np.int32)
def below_three(x):
  with tf.control_dependencies([tf.debugging.assert_less(x, 3, message="no image")]):
    return tf.identity(x)


def _total(function):
  @tff.federated_computation(_ROUND, _AT_CLIENTS)
  def total(state, clients):
    return state, tff.federated_sum(tff.federated_map(function, clients))

  return total


def _actors() -> list[psutil.Process]:
  found = []
  for child in psutil.Process().children(recursive=True):
    with contextlib.suppress(psutil.NoSuchProcess):  # gone since
      if child.name().startswith("ray::ClientActor"):
        found.append(child)
  return found


def _left(processes: list[psutil.Process], seconds: float = 20.0) -> list[psutil.Process]:
  """Those that still run after a while."""
  return psutil.wait_procs(processes, timeout=seconds)[1]


def test_without_ray_the_way_to_install_it_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "ray", None)
  with pytest.raises(UserError, match="pip install .*requirements-ray.txt"):
    RayRuntime()


def test_a_cluster_that_is_not_there_is_named():
  with pytest.raises(UserError, match="--ray_address=localhost:1"), RayRuntime(
    address="localhost:1"
  ):
    pass


def test_on_this_machine_nothing_is_left_behind():
  before = psutil.Process().children(recursive=True)
  with RayRuntime() as runtime:
    assert runtime.call(_total(below_three), {"round": 0}, [0, 1, 2])[1] == 3
    processes = set(psutil.Process().children(recursive=True)) - set(before)
    assert _actors()
    where = "client 7, round 3, stage work"
    with pytest.raises(ComputationFailed, match=f"{where}: InvalidArgumentError.*no image"):
      runtime.call(_total(below_three), {"round": 2}, [0, 7, 2])
    assert runtime.call(below_three, 2) == 2
  assert _left(list(processes)) == []
  with pytest.raises(RuntimeError, match="not open"):
    runtime.call(below_three, 2)


@pytest.fixture(scope="module")
def cluster():
  """Two machines of one CPU, both of them this one."""
  ray = ray_cluster.import_ray()
  from ray.cluster_utils import Cluster

  settings = {"num_cpus": 1, "include_dashboard": False}
  two = Cluster(initialize_head=True, head_node_args=settings | {"_system_config": _QUICK})
  try:
    with RayRuntime(address=two.address) as runtime:
      assert len(runtime.devices) == 1
    # Connected while there is no other: this process would else belong to either machine at random,
    # and die with it.
    two.connect()
    two.add_node(num_cpus=1)
    yield two
  finally:
    ray.shutdown()
    two.shutdown()


@pytest.mark.slow
def test_a_cluster_gives_what_the_native_worker_gives(runtime, cluster, tmp_path):
  store = small.store(tmp_path)
  expected = rounds.network(runtime.call, store, "select", rounds=2)
  with RayRuntime(address=cluster.address) as ray:
    assert len(ray.devices) == 2
    found = rounds.network(ray.call, store, rounds=2)
    assert len(_actors()) == 2
  # An actor's TensorFlow has one thread, the worker's as many as there are cores, and sums that
  # are split over threads are rounded differently.
  flat, expected = tf.nest.flatten(found), tf.nest.flatten(expected)
  rounds.assert_same(flat, expected, atol=1e-5, rtol=1e-5)


def test_too_large_a_share_is_a_user_error(cluster):
  with pytest.raises(UserError, match="--ray_cpus_per_client"), RayRuntime(
    address=cluster.address, cpus_per_client=2
  ):
    pass
  with pytest.raises(UserError, match="--ray_gpus_per_client"), RayRuntime(
    address=cluster.address, gpus_per_client=0.5
  ):
    pass


@pytest.mark.slow
def test_a_machine_lost_in_mid_round_costs_nothing_but_time(cluster):
  said = []
  with RayRuntime(address=cluster.address, log=said.append) as ray:
    total = _total(slow)
    assert ray.call(total, {"round": 0}, [0, 1, 2])[1] == 3  # both actors have started
    (lost,) = cluster.worker_nodes
    timer = threading.Timer(0.4, cluster.remove_node, (lost,), {"allow_graceful": False})
    timer.start()
    assert ray.call(total, {"round": 1}, list(range(6)))[1] == 15
    timer.join()
    assert any("round 2, stage work: its Ray actor died" in line for line in said), said
    assert len(ray.devices) == 1


@pytest.mark.slow
def test_an_actor_that_hangs_counts_as_dead_and_a_long_round_is_no_hang(cluster, monkeypatch):
  said = []
  with RayRuntime(address=cluster.address, silent_seconds=1.5, log=said.append) as ray:
    total = _total(slow)
    assert ray.call(total, {"round": 0}, [0, 1, 2])[1] == 3
    connected = len(said)
    hanging = _actors()[0]
    hanging.suspend()  # SIGSTOP
    assert ray.call(total, {"round": 1}, list(range(4)))[1] == 6
    (line,) = said[connected:]
    assert "round 2, stage work: its Ray actor hung (no sign of life for 1.5 s, killed)" in line
    assert _left([hanging]) == []
    monkeypatch.setattr(ray_runtime, "_TRIES", 0)
    for actor in _actors():
      actor.suspend()
    with pytest.raises(ActorsLost, match="client 5, round 8, stage work.*1 times .no sign of life"):
      ray.call(total, {"round": 7}, [5])


def test_a_client_that_is_lost_too_often_is_named(cluster, monkeypatch):
  monkeypatch.setattr(ray_runtime, "_TRIES", 1)
  killed = 0
  done = threading.Event()

  def kill():
    nonlocal killed
    while not done.wait(0.2):
      for actor in _actors():
        with contextlib.suppress(psutil.NoSuchProcess):
          if time.time() - actor.create_time() > 0.1:
            actor.kill()
            killed += 1

  with RayRuntime(address=cluster.address) as ray:
    total = _total(slow)
    assert ray.call(total, {"round": 0}, [1])[1] == 1
    killer = threading.Thread(target=kill)
    killer.start()
    try:
      with pytest.raises(ActorsLost, match="client 5, round 8, stage work.*2 times|don't start"):
        ray.call(total, {"round": 7}, [5])
    finally:
      done.set()
      killer.join()
  assert killed >= 2
