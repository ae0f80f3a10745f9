"""One FedAvg round of ours, in any runtime, as a contender."""

import contextlib
import functools
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks.workload import LEARNING_RATE, SEED
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.training.upload import Upload

RUNTIMES = ("native", "device", "ray")


class OurRound:
  """Algorithm 1 without attacks and noise; round 0, always from the initial weights."""

  def __init__(self, runtime, model, store, clients: int, *, batch_size: int, shuffle: bool = True):
    self._runtime = runtime
    self._clients = list(range(clients))
    process = _process(model, store.directory, store.image_shape, batch_size, shuffle)
    self._next = process.next
    self._start = runtime.call(process.initialize)
    self.weights: tuple[np.ndarray, ...] = ()

  def __call__(self) -> None:
    state, metrics = self._runtime.call(self._next, self._start, self._clients)
    self.weights = tuple(np.asarray(w) for w in state.global_model_weights.trainable)
    np.asarray(metrics["client_work"]["clients"]["metrics"])


@functools.lru_cache(maxsize=1)
def _process(model, directory: str, image_shape: tuple[int, ...], batch_size: int, shuffle: bool):
  """Built once for the runtimes that follow one another; the last one's is kept."""
  return build_fed_safe(
    model,
    client_optimizer=tff.learning.optimizers.build_sgdm(LEARNING_RATE),
    clients=Shards(
      lambda client: read_client(directory, client, image_shape),
      batch_size=batch_size,
      shuffle=shuffle,
    ),
    upload=Upload("weights"),
    seed=SEED,
  )


def shards_of(store, **settings) -> Shards:
  """Clients that read the shards of a store."""
  return Shards(lambda client: read_client(store.directory, client, store.image_shape), **settings)


def open_runtime(name: str, folder: pathlib.Path, *, max_clients: int = 0):
  """A runtime; enter it as a context manager.

  Args:
    name: One of `RUNTIMES`.
    folder: For the output of TFF's worker.
    max_clients: Of the native runtime: clients at the same time; 0 is no limit.
  """
  if name == "device":
    from fedsafe_tff.runtime.device import DeviceRuntime

    return DeviceRuntime()
  if name == "ray":
    from fedsafe_tff.runtime.ray_runtime import RayRuntime

    return RayRuntime()
  from fedsafe_tff.runtime.native import NativeRuntime

  return NativeRuntime(folder / f"worker-{max_clients}.log", max_clients=max_clients)


def open_runtimes(
  stack: contextlib.ExitStack, names: Sequence[str], folder: pathlib.Path
) -> dict[str, object]:
  """All of these runtimes, open until the stack is closed."""
  return {name: stack.enter_context(open_runtime(name, folder)) for name in names}


def split_cpu(count: int) -> int:
  """Sets up devices, if TensorFlow has not begun to compute: so many of the CPU, GPUs as they are.

  CPU devices share the threads of one pool: a computation on one of them is as fast as without the
  others.

  Returns:
    How many CPU devices there are.
  """
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  cpu = tf.config.list_physical_devices("CPU")[0]
  with contextlib.suppress(RuntimeError):  # too late
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    )
  return len(tf.config.list_logical_devices("CPU"))


def distance(weights, other, start) -> float:
  """How far two results are apart, over how far the round moved."""

  def norm(left, right):
    return float(np.sqrt(sum(np.sum((a - b) ** 2.0) for a, b in zip(left, right, strict=True))))

  return norm(weights, other) / max(norm(other, start), 1e-30)
