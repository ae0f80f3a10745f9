"""The devices of TensorFlow in this process, and whether a GPU lies idle beside them."""

import os
import shutil
import subprocess

import tensorflow as tf

from fedsafe_tff.errors import UserError

_QUERY_SECONDS = 20


def configure(memory_limit: int = 0) -> None:
  """Sets how TensorFlow takes GPU memory; call it before TensorFlow computes anything.

  Args:
    memory_limit: MiB per GPU; 0 takes memory as it is needed.

  Raises:
    UserError: It is too late, or the settings clash.
  """
  try:
    for gpu in tf.config.list_physical_devices("GPU"):
      if memory_limit:
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=memory_limit)
        tf.config.set_logical_device_configuration(gpu, [limit])
      else:
        tf.config.experimental.set_memory_growth(gpu, True)
  except (RuntimeError, ValueError) as error:
    raise UserError(
      f"GPU memory can't be set any more ({error}): open the runtime before other TensorFlow code"
    ) from None


def visible() -> bool:
  """Whether TensorFlow sees a GPU."""
  return bool(tf.config.list_physical_devices("GPU"))


def device_names() -> list[str]:
  """The devices to train on: all GPUs, else all logical CPU devices.

  Raises:
    UserError: The machine has a GPU that TensorFlow does not see.
  """
  gpus = tf.config.list_logical_devices("GPU")
  if not gpus:
    check_no_idle_gpu()
  return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]


def check_no_idle_gpu() -> None:
  """Raises a UserError when the driver knows a GPU that TensorFlow does not see.

  An empty `CUDA_VISIBLE_DEVICES`, or -1, says that this is meant.
  """
  if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() in ("", "-1"):
    return
  found = driver_gpus()
  if found:
    raise UserError(
      f"the driver has {len(found)} GPU ({found[0]}), but TensorFlow sees none, so that training "
      "would run on the CPU: pip install --no-deps --require-hashes -r requirements-gpu.txt, or "
      "set CUDA_VISIBLE_DEVICES=-1 to use the CPU"
    )


def driver_gpus() -> list[str]:
  """Names of the GPUs that `nvidia-smi` lists; empty where there is no such program."""
  program = shutil.which("nvidia-smi")
  if program is None:
    return []
  command = [program, "--query-gpu=name", "--format=csv,noheader"]
  try:
    run = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_SECONDS)
  except (OSError, subprocess.SubprocessError):
    return []
  if run.returncode:
    return []
  return [line.strip() for line in run.stdout.splitlines() if line.strip()]


def describe(name: str) -> str:
  """A device's short name, with the model of a GPU, such as `GPU:0 (NVIDIA A100)`."""
  short = name.rsplit("device:", 1)[-1]
  kind, number = short.split(":")
  physical = tf.config.list_physical_devices(kind)
  if kind != "GPU" or int(number) >= len(physical):
    return short
  details = tf.config.experimental.get_device_details(physical[int(number)])
  return f"{short} ({details.get('device_name', 'unknown model')})"
