"""The runtimes by name, one line each, and the one that a program runs its computations in.

TFF's own local context leaves its worker behind when a program ends, which then keeps the terminal
or pipe open; the runtimes here don't. `use` installs one for the rest of a program:

  runtime.use("device")
  state = process.initialize()
"""

import atexit
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError

_in_use: list["Runtime"] = []


class Runtime(Protocol):
  """What the round loop needs of a runtime; it is also a context manager."""

  @property
  def devices(self) -> list[str]:
    """Where clients run, for the manifest."""

  def call(self, computation: Any, *arguments: Any) -> Any:
    """Invokes a TFF computation."""

  def __enter__(self) -> "Runtime": ...

  def __exit__(self, *error: Any) -> None: ...


# A runtime that is not used is not imported. A new one takes a `Runtime` class and a line.
RUNTIMES: dict[str, Callable[..., Runtime]] = {
  "native": lazy.Member(
    "fedsafe_tff.runtime.native", "NativeRuntime", "TFF's own worker, on the CPU"
  ),
  "device": lazy.Member(
    "fedsafe_tff.runtime.device",
    "DeviceRuntime",
    "in this process, clients side by side on its GPUs (or its CPU)",
  ),
  "ray": lazy.Member(
    "fedsafe_tff.runtime.ray_runtime", "RayRuntime", "clients on the machines of a Ray cluster"
  ),
}


def build(name: str, **options: Any) -> Runtime:
  """A runtime; enter it as a context manager, on the main thread.

  Args:
    name: Key of `RUNTIMES`: "native" (TFF's own worker, on the CPU), "device" (in this process,
      clients round-robin over its GPUs) or "ray" (clients on the machines of a cluster).
    **options: Its arguments: see `NativeRuntime`, `DeviceRuntime` and `RayRuntime`.

  Raises:
    UserError: There is no such runtime, or it can't be had here.
  """
  if name not in RUNTIMES:
    raise UserError(f"runtime {name!r} is unknown: choose {', '.join(RUNTIMES)}")
  return RUNTIMES[name](**options)


def use(name: str = "native", **options: Any) -> Runtime:
  """Opens a runtime for the rest of the program; a second call replaces the first one's.

  It is TFF's default context on this thread from now on: computations are called as functions, or
  through the runtime's `call`. It ends with the program, with all processes that it started.

  Args:
    name: See `build`.
    **options: See `build`; the log of the native worker is a temporary file by default.
  """
  stop()
  if name == "native" and "log_path" not in options:
    handle, path = tempfile.mkstemp(prefix="fedsafe-worker-", suffix=".log")
    os.close(handle)
    options |= {"log_path": path, "max_clients": clients_at_once(options.get("threads", 0))}
    atexit.register(pathlib.Path(path).unlink, missing_ok=True)
  runtime = build(name, **options)
  runtime.__enter__()
  _in_use.append(runtime)
  return runtime


def stop() -> None:
  """Ends the runtime that `use` opened; without one it does nothing."""
  while _in_use:
    _in_use.pop().__exit__(None, None, None)


atexit.register(stop)


def clients_at_once(threads: int) -> int:
  """How many clients the worker takes on side by side: enough for its threads, bounded memory.

  Without a limit all of a round's clients begin at once, each with the activations of a batch.
  """
  return max(4, 2 * (threads or os.cpu_count() or 1))
