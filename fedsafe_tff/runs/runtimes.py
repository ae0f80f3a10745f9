"""The runtime that a run's settings ask for."""

import os
import pathlib
from collections.abc import Callable

from fedsafe_tff import lazy
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runtime import registry


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
) -> registry.Runtime:
  """The runtime; enter it as a context manager, on the main thread.

  Args:
    config: Settings of the run.
    log_path: File for the output of TFF's worker, if there is one.
    log: Is told what a user should know.
  """
  if config.compute_dtype == "bfloat16" and not _has_bfloat16():
    log(
      "this processor has no arithmetic of bfloat16, in which it takes several times as long: "
      "--compute_dtype=float32 is faster here"
    )
  if config.runtime == "native":
    from fedsafe_tff.runtime import gpus

    if gpus.visible():
      log("--runtime=native trains on the CPU, not on the GPU here: --runtime=device would")
  offered = {
    "log": log,
    "log_path": log_path,
    "threads": config.threads,
    "max_clients": registry.clients_at_once(config.threads),
    "memory_limit": config.gpu_memory_limit,
    "address": config.ray_address,
    "cpus_per_client": config.ray_cpus_per_client,
    "gpus_per_client": config.ray_gpus_per_client,
  }
  taken = lazy.taken(registry.RUNTIMES[config.runtime], offered)
  return registry.build(config.runtime, **taken)


def _has_bfloat16() -> bool:
  """Whether a GPU is there, or the processor has bfloat16; true where that can't be told."""
  from fedsafe_tff.runtime import gpus

  if gpus.visible():
    return True
  flags = _processor_flags()
  return not flags or bool(flags & {"avx512_bf16", "amx_bf16"})


def _processor_flags() -> frozenset[str]:
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return frozenset()
  return frozenset(word for line in lines if line.startswith("flags") for word in line.split())
