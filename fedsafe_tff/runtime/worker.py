"""TFF's `worker_binary` as a child process that never outlives its parent.

TFF's own local context starts the same binary, but leaves it behind on every exit path, and the
orphan keeps standard output open, so that `program | tee log` never returns. Here the worker's
streams go to a log file, it runs in a session of its own (Ctrl-C reaches the program alone), and
the kernel ends it with its parent, even after SIGKILL.

The worker speaks gRPC without TLS and listens on all interfaces; the binary has no option to
restrict that. On a shared machine, firewall its port or run in a network namespace.
"""

import atexit
import ctypes
import os
import pathlib
import signal
import subprocess
import threading
import time

import portpicker

from fedsafe_tff.errors import UserError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_ATTEMPTS = 3
_START_SECONDS = 0.4


def binary_path() -> pathlib.Path:
  """The worker binary inside the installed TFF package."""
  import tensorflow_federated as tff

  return pathlib.Path(tff.__file__).parent / "data" / "worker_binary"


class Worker:
  """A running worker.

  Attributes:
    port: The port on which it listens.
    log_path: Where its output goes.
  """

  def __init__(self, log_path: str | os.PathLike, *, threads: int = 0, max_clients: int = 0):
    """Starts the worker; call it from the main thread.

    The kernel ends the worker when the *thread* that started it ends, hence the main thread.

    Args:
      log_path: File for the worker's output; it is appended to.
      threads: Threads of TensorFlow; 0 means all cores.
      max_clients: Clients that run at the same time; 0 means no limit.

    Raises:
      UserError: The log can't be written or the worker does not start.
    """
    if threading.current_thread() is not threading.main_thread():
      raise RuntimeError("start the TFF worker from the main thread: it ends with its thread")
    self.log_path = pathlib.Path(log_path)
    self._threads = threads
    self._max_clients = max_clients
    self._process: subprocess.Popen | None = None
    for _ in range(_ATTEMPTS):  # the port may be taken between the choice and the bind
      self.port = portpicker.pick_unused_port()
      self._start()
      time.sleep(_START_SECONDS)
      if self.alive():
        break
    else:
      raise UserError(
        f"the TFF worker did not start (exit code {self.exit_code()}): see {self.log_path}"
      )
    atexit.register(self.close)

  def _start(self) -> None:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    if self._threads:
      environment |= {
        "TF_NUM_INTRAOP_THREADS": str(self._threads),
        "TF_NUM_INTEROP_THREADS": str(self._threads),
        "OMP_NUM_THREADS": str(self._threads),
      }
    parent = os.getpid()

    def end_with_parent():
      _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
      if os.getppid() != parent:  # it died before the line above
        os._exit(1)

    try:
      self.log_path.parent.mkdir(parents=True, exist_ok=True)
      with self.log_path.open("ab") as log:
        self._process = subprocess.Popen(
          [
            str(binary_path()),
            f"--port={self.port}",
            f"--max_concurrent_computation_calls={self._max_clients or -1}",
          ],
          stdin=subprocess.DEVNULL,
          stdout=log,
          stderr=log,
          env=environment,
          start_new_session=True,
          preexec_fn=end_with_parent,
        )
    except OSError as error:
      raise UserError(
        f"the TFF worker can't be started with its log at {self.log_path}: {error}"
      ) from None

  @property
  def pid(self) -> int:
    """Process id."""
    return self._process.pid

  def alive(self) -> bool:
    """Whether the process runs."""
    return self._process is not None and self._process.poll() is None

  def exit_code(self) -> int | None:
    """Exit code, negative for a signal; None while it runs."""
    return None if self._process is None else self._process.poll()

  def close(self) -> None:
    """Ends the process; a second call does nothing."""
    atexit.unregister(self.close)
    if self.alive():
      self._process.kill()
    if self._process is not None:
      self._process.wait()
