"""The device runtime: computations in this process, clients on its GPUs.

TFF's own worker is built without CUDA. Here the same computations, cut into TensorFlow parts, run
on all GPUs that TensorFlow sees, or on its logical CPU devices where there is no GPU: client k on
device k modulo their number, one client at a time on each device. Server parts run on the first.
"""

import collections
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import tensorflow as tf

from fedsafe_tff.runtime import gpus
from fedsafe_tff.runtime.in_process import ClientTask, InProcessRuntime, failure

# Clients per device that run, wait to run or wait to be added up.
_PER_DEVICE = 2


class DeviceRuntime(InProcessRuntime):
  """Runs TFF computations on the devices of this process; see `InProcessRuntime`."""

  def __init__(self, *, memory_limit: int = 0, log: Callable[[str], None] = lambda text: None):
    """Starts nothing yet.

    Args:
      memory_limit: MiB per GPU; 0 takes memory as it is needed.
      log: Is told which devices are used.
    """
    super().__init__(log)
    self._memory_limit = memory_limit
    self._devices: list[str] = []
    self._threads: list[futures.ThreadPoolExecutor] = []

  @property
  def devices(self) -> list[str]:
    """Where clients run."""
    return [gpus.describe(name) for name in self._devices]

  def _start(self) -> None:
    gpus.configure(self._memory_limit)
    tf.config.set_soft_device_placement(True)  # reading files has no GPU kernel
    self._devices = gpus.device_names()
    self._server_device = self._devices[0]
    self._threads = [futures.ThreadPoolExecutor(1) for _ in self._devices]
    self._log(f"clients run on {', '.join(self.devices)}")

  def _stop(self) -> None:
    for thread in self._threads:
      thread.shutdown(cancel_futures=True)
    self._threads = []

  def _client_results(self, task: ClientTask) -> Iterator[Sequence[Any]]:
    work = self._load(task.part)
    # A copy of what the server sends on every device, made once.
    copies: dict[str, list[tf.Tensor]] = {}

    def run(index: int, device: str) -> list[tf.Tensor]:
      if device not in copies:
        with tf.device(device):
          copies[device] = [tf.identity(tensor) for tensor in task.received]
      try:
        return work([*task.clients[index], *copies[device]], device)
      except tf.errors.OpError as error:
        raise failure(error, f"{task.names[index]}, stage {task.part.name} on {device}") from error

    waiting: collections.deque[futures.Future] = collections.deque()
    try:
      for index in range(len(task.clients)):
        if len(waiting) == _PER_DEVICE * len(self._devices):
          yield waiting.popleft().result()
        place = index % len(self._devices)
        waiting.append(self._threads[place].submit(run, index, self._devices[place]))
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
      with contextlib.suppress(Exception):
        futures.wait(waiting)
