"""The runtime that a run's settings ask for."""

import os
from collections.abc import Callable
from typing import Any, Protocol

from fedsafe_tff.config import Config


class Runtime(Protocol):
  """What the round loop needs of a runtime; it is also a context manager."""

  @property
  def devices(self) -> list[str]:
    """Where clients run, for the manifest."""

  def call(self, computation: Any, *arguments: Any) -> Any:
    """Invokes a TFF computation."""

  def __enter__(self) -> "Runtime": ...

  def __exit__(self, *error: Any) -> None: ...


def configure(config: Config) -> None:
  """Sets what must be set before TensorFlow computes anything: how it takes GPU memory.

  Raises:
    UserError: It is too late, or the machine has a GPU that TensorFlow does not see.
  """
  from fedsafe_tff.runtime import gpus

  if config.runtime == "device":
    gpus.configure(config.gpu_memory_limit)
    gpus.device_names()
  elif config.runtime == "ray":
    gpus.configure()  # else the GPU of this machine would be full before an actor starts


def open_runtime(
  config: Config, log_path: str | os.PathLike, log: Callable[[str], None] = lambda text: None
) -> Runtime:
  """The runtime; enter it as a context manager, on the main thread.

  Args:
    config: Settings of the run.
    log_path: File for the output of TFF's worker, if there is one.
    log: Is told what a user should know.
  """
  if config.runtime != "native" and config.noisy_downlink and config.downlink == "select":
    log(f"--runtime={config.runtime}: the downlink is map instead of select; its bits are the same")
  if config.runtime == "device":
    from fedsafe_tff.runtime.device import DeviceRuntime

    return DeviceRuntime(memory_limit=config.gpu_memory_limit, log=log)
  if config.runtime == "ray":
    from fedsafe_tff.runtime.ray_runtime import RayRuntime

    return RayRuntime(
      address=config.ray_address,
      cpus_per_client=config.ray_cpus_per_client,
      gpus_per_client=config.ray_gpus_per_client,
      log=log,
    )
  from fedsafe_tff.runtime import gpus
  from fedsafe_tff.runtime.native import NativeRuntime

  if gpus.visible():
    log("--runtime=native trains on the CPU, though there is a GPU: --runtime=device would use it")
  return NativeRuntime(
    log_path, threads=config.threads, max_clients=clients_at_once(config.threads), log=log
  )


def clients_at_once(threads: int) -> int:
  """How many clients the worker takes on side by side: enough for its threads, bounded memory.

  Without a limit all of a round's clients begin at once, each with the activations of a batch.
  """
  return max(4, 2 * (threads or os.cpu_count() or 1))
