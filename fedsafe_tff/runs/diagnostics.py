"""Checks of the machine and of data folders, each a line that says what to do."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from fedsafe_tff.errors import UserError

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Check:
  """Outcome of a check: what was found, or what to do."""

  name: str
  passed: bool
  detail: str

  def line(self) -> str:
    """One line for the terminal."""
    return f"{'ok  ' if self.passed else 'FAIL'} {self.name}: {self.detail}"


def check_versions() -> Check:
  """Python 3.11 and the pinned packages."""
  names = ("tensorflow", "tensorflow-federated", "tensorflow-privacy", "numpy", "jaxlib")
  found, missing = [f"python {sys.version.split()[0]}"], []
  for name in names:
    try:
      found.append(f"{name} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
      missing.append(name)
  if missing:
    return Check("versions", False, f"{', '.join(missing)} not installed: run make setup")
  if sys.version_info[:2] != (3, 11):
    return Check("versions", False, f"{found[0]}, expected 3.11: run make setup with Python 3.11")
  return Check("versions", True, ", ".join(found))


def check_memory(least_gib: float = 2.0) -> Check:
  """Free memory."""
  import psutil

  free = psutil.virtual_memory().available / _GIB
  detail = f"{free:.1f} GiB free"
  return Check(
    "memory",
    free >= least_gib,
    detail
    + (
      "" if free >= least_gib else f": at least {least_gib:g} GiB are needed, close other programs"
    ),
  )


def check_disk(folder: str = ".", least_gib: float = 1.0) -> Check:
  """Free disk space where runs are written."""
  free = shutil.disk_usage(folder).free / _GIB
  detail = f"{free:.1f} GiB free"
  return Check(
    "disk",
    free >= least_gib,
    detail + ("" if free >= least_gib else f": at least {least_gib:g} GiB are needed, free space"),
  )


def check_devices() -> Check:
  """Devices that TensorFlow sees."""
  import tensorflow as tf

  kinds = [d.device_type for d in tf.config.list_physical_devices()]
  counts = ", ".join(f"{kinds.count(k)} {k}" for k in sorted(set(kinds)))
  detail = f"{counts}, {os.cpu_count()} cores"
  if "GPU" in kinds:
    detail += "; TFF's own worker is built without CUDA: train on the GPU with --runtime=device"
  return Check("devices", bool(kinds), detail)


def check_tff(time_limit: float, run_toy: Callable[[str, float], float] | None = None) -> Check:
  """A TFF computation on three toy clients, in a worker of ours, under a time limit in seconds.

  The worker must start in the main thread; a timer ends it when the limit passes.

  Args:
    time_limit: Seconds for the computation, without the import of TFF.
    run_toy: Given the worker's log file and the limit, returns the mean of 1, 2 and 3.
  """
  began = time.monotonic()
  with tempfile.TemporaryDirectory() as folder:
    log_path = pathlib.Path(folder) / "worker.log"
    try:
      result = (run_toy or _toy_round)(str(log_path), time_limit)
    except TimeoutError:
      return Check("tff", False, f"no answer in {time_limit:g} s: raise --time_limit or free cores")
    except Exception as error:  # whatever it is, it is the answer
      return Check("tff", False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
  passed = abs(result - 2.0) < 1e-6
  return Check(
    "tff",
    passed,
    f"a federated mean ran in the worker, {time.monotonic() - began:.1f} s with the import of TFF"
    if passed
    else f"a federated mean gave {result} instead of 2: reinstall with make setup",
  )


def _toy_round(log_path: str, time_limit: float) -> float:
  import numpy as np
  import tensorflow_federated as tff

  from fedsafe_tff.runtime.native import NativeRuntime, WorkerDied

  @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
  def mean(values):
    return tff.federated_mean(values)

  with NativeRuntime(log_path, restarts=0) as runtime:
    late = threading.Event()

    def give_up():
      late.set()
      runtime.kill_worker()

    timer = threading.Timer(time_limit, give_up)
    timer.start()
    try:
      return float(runtime.call(mean, [1.0, 2.0, 3.0]))
    except WorkerDied as death:
      raise TimeoutError if late.is_set() else death from None
    finally:
      timer.cancel()


def check_data_dir(folder: str) -> Check:
  """Whether a folder holds class folders with images that open, or a file a user's arrays."""
  from fedsafe_tff.data import inventory, npz
  from fedsafe_tff.data.formats import registry
  from fedsafe_tff.data.formats.frame import Reading, Unreadable

  root = pathlib.Path(folder).expanduser()
  name = f"data {folder}"
  if root.is_file():
    try:
      image_set = npz.load(folder, image_size=0)
    except UserError as error:
      return Check(name, False, str(error))
    return Check(name, True, f"{len(image_set)} images {image_set.image_shape}")
  if not root.is_dir():
    return Check(name, False, "no such folder: give the folder that holds the class folders")
  counts: dict[str, int] = {}
  for file in inventory.walk(root).files:
    if registry.looks_like_image(file.path):
      key = "/".join(file.parts[:-1]) or "."
      if key not in counts:
        try:
          registry.read(file.path, Reading())
        except Unreadable as error:
          return Check(name, False, f"{file.path} can't be read ({error}): replace it")
      counts[key] = counts.get(key, 0) + 1
  for parts in (("Training", "Testing"), ("train", "test")):
    lacking = [part for part in parts if not (root / part).is_dir()]
    if len(lacking) == 1:
      return Check(name, False, f"it has no folder {lacking[0]}: expected {' and '.join(parts)}")
  if len(counts) < 2:
    return Check(name, False, f"{len(counts)} folders with images: expected one folder per class")
  return Check(name, True, ", ".join(f"{k} {v}" for k, v in counts.items()))
