"""The device runtime: computations in this process, clients on its GPUs.

TFF's own worker is built without CUDA. Here the same computations, cut into TensorFlow parts, run
on all GPUs that TensorFlow sees, or on its logical CPU devices where there is no GPU: client k on
device k modulo their number. A GPU has one client at a time; a CPU as many as it has threads, since
the small operations of one client don't fill them. Server parts run on the first device.
"""

import collections
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import tensorflow as tf

from fedsafe_tff.runtime import gpus
from fedsafe_tff.runtime.in_process import ClientTask, InProcessRuntime, failure

# Clients per lane that run, wait to run or wait to be added up.
_PER_LANE = 2
# Clients side by side on a CPU: each holds the activations of a batch, and they share all threads.
_MOST_LANES = 8


class DeviceRuntime(InProcessRuntime):
  """Runs TFF computations on the devices of this process; see `InProcessRuntime`."""

  def __init__(
    self,
    *,
    memory_limit: int = 0,
    threads: int = 0,
    log: Callable[[str], None] = lambda text: None,
  ):
    """Starts nothing yet.

    Args:
      memory_limit: MiB per GPU; 0 takes memory as it is needed.
      threads: How many clients run side by side where there is no GPU; 0: as many as TensorFlow
        has threads for an operation, which this does not set. Not more than eight: memory grows
        with them.
      log: Is told which devices are used.
    """
    super().__init__(log)
    self._memory_limit = memory_limit
    self._threads = threads
    self._devices: list[str] = []
    # A device and the thread that runs clients there.
    self._lanes: list[tuple[str, futures.ThreadPoolExecutor]] = []

  @property
  def devices(self) -> list[str]:
    """Where clients run."""
    return [gpus.describe(name) for name in self._devices]

  def _start(self) -> None:
    gpus.configure(self._memory_limit)
    tf.config.set_soft_device_placement(True)  # reading files has no GPU kernel
    self._devices = gpus.device_names()
    self._server_device = self._devices[0]
    self._lanes = [(name, futures.ThreadPoolExecutor(1)) for name in self._lane_devices()]
    self._log(f"clients run on {', '.join(self.devices)}")

  def _stop(self) -> None:
    for _, thread in self._lanes:
      thread.shutdown(cancel_futures=True)
    self._lanes = []

  def _lane_devices(self) -> list[str]:
    """The devices; of a CPU each again and again until all threads, or enough, have a client."""
    if "GPU" in self._devices[0]:
      return self._devices
    of_tensorflow = tf.config.threading.get_intra_op_parallelism_threads()
    lanes = self._threads or of_tensorflow or len(os.sched_getaffinity(0))
    lanes = max(min(lanes, _MOST_LANES), len(self._devices))
    return list(itertools.islice(itertools.cycle(self._devices), lanes))

  def _client_results(self, task: ClientTask) -> Iterator[Sequence[Any]]:
    work = self._load(task.part)
    # A copy of what the server sends on every device; two clients that begin at once make it twice.
    copies: dict[str, list[tf.Tensor]] = {}

    def run(index: int, device: str) -> list[tf.Tensor]:
      if device not in copies:
        with tf.device(device):
          copies[device] = [tf.identity(tensor) for tensor in task.received]
      try:
        return work([*task.clients[index], *copies[device]], device)
      except tf.errors.OpError as error:
        raise failure(error, f"{task.names[index]}, stage {task.part.name} on {device}") from error

    # Two calls at once would share a part's variables and tables, which are a device's.
    lanes = self._lanes[: len(self._devices)] if task.part.initialize_op else self._lanes
    waiting: collections.deque[futures.Future] = collections.deque()
    try:
      for index in range(len(task.clients)):
        if len(waiting) == _PER_LANE * len(lanes):
          yield waiting.popleft().result()
        device, thread = lanes[index % len(lanes)]
        waiting.append(thread.submit(run, index, device))
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
      with contextlib.suppress(Exception):
        futures.wait(waiting)
