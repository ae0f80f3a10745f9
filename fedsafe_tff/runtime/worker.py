"""TFF's `worker_binary` as a child process that never outlives its parent.

TFF's own local context starts the same binary, but leaves it behind on every exit path, and the
orphan keeps standard output open, so that `program | tee log` never returns. Here the worker's
streams go to a log file, it runs in a session of its own (Ctrl-C reaches the program alone), and
the kernel ends it with its parent, even after SIGKILL.

The worker speaks gRPC without TLS and listens on all interfaces; the binary has no option to
restrict that. So it runs in a network namespace of its own, which has a loopback interface and
nothing else, and a relay there passes on what comes by a socket without a port (`own_network`).

Where the system allows no such namespace it listens on this machine's interfaces. gRPC binds with
SO_REUSEPORT: a second worker on the same port starts without a word and the kernel deals
connections out between the two. So a worker counts as started only when its port has exactly one
listener.
"""

import atexit
import os
import pathlib
import subprocess
import sys
import threading
import time

import portpicker
import psutil

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import own_network

_ATTEMPTS = 3
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05

# A launcher of our own asks the kernel to end it with its parent (PR_SET_PDEATHSIG = 1), goes into
# its own network and becomes the worker. Popen's `preexec_fn` would do so in a fork of a process
# full of TensorFlow's and gRPC's threads, which can deadlock.
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
  sys.exit("the parent ended before the worker began")
""" + own_network.LAUNCHER + """
enter(sys.argv[2], sys.argv[3])
os.execv(sys.argv[4], sys.argv[4:])
"""


def binary_path() -> pathlib.Path:
  """The worker binary inside the installed TFF package."""
  import tensorflow_federated as tff

  return pathlib.Path(tff.__file__).parent / "data" / "worker_binary"


class Worker:
  """A running worker.

  Attributes:
    port: The port on which it listens, in its own network where it has one.
    target: What a gRPC channel to it takes.
    alone: Whether it is in a network of its own, which nobody else can reach.
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
    self._entry: own_network.Entry | None = None
    self.alone = own_network.possible()
    for _ in range(_ATTEMPTS):  # the port may be taken between the choice and the bind
      self.port = portpicker.pick_unused_port()
      self.target = f"localhost:{self.port}"
      self._start()
      try:
        if self._listens_alone():
          break
      except BaseException:  # Ctrl-C while it starts
        self.close()
        raise
      code = self.exit_code()
      self.close()
    else:
      how = "still running" if code is None else f"exit code {code}"
      raise UserError(
        f"the TFF worker did not start in {_ATTEMPTS} attempts ({how}): see {self.log_path}"
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
    handle = "-1"
    if self.alone:
      self._entry = own_network.Entry()
      self.target, handle = self._entry.target, str(self._entry.fileno())
    try:
      self.log_path.parent.mkdir(parents=True, exist_ok=True)
      with self.log_path.open("ab") as log:
        self._process = subprocess.Popen(
          [
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *(handle, str(self.port)),
            str(binary_path()),
            f"--port={self.port}",
            f"--max_concurrent_computation_calls={self._max_clients or -1}",
          ],
          stdin=subprocess.DEVNULL,
          stdout=log,
          stderr=log,
          env=environment,
          start_new_session=True,
          pass_fds=[int(handle)] if self.alone else [],
        )
    except OSError as error:
      raise UserError(
        f"the TFF worker can't be started with its log at {self.log_path}: {error}"
      ) from None

  def _listens_alone(self) -> bool:
    """Waits for the worker to listen; False if it ended, hung or shares its port."""
    deadline = time.monotonic() + _START_SECONDS
    while self.alone and self.alive() and time.monotonic() < deadline:
      if own_network.listens(self.pid, self.port):
        return True
      time.sleep(_POLL_SECONDS)
    while self.alive() and time.monotonic() < deadline:
      listeners = [
        connection.pid
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port
      ]
      if self.pid in listeners:
        return len(listeners) == 1
      time.sleep(_POLL_SECONDS)
    return False

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

  def kill(self) -> None:
    """Ends the process by SIGKILL, from any thread; one that has ended is left alone."""
    if self.alive():
      self._process.kill()

  def close(self) -> None:
    """Ends the process and waits for its end; a second call does nothing."""
    atexit.unregister(self.close)
    self.kill()
    if self._process is not None:
      self._process.wait()
    if self._entry is not None:
      self._entry.close()
      self._entry = None
