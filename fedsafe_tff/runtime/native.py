"""The native runtime: TFF's C++ worker behind a context that notices when it dies or hangs."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import tensorflow_federated as tff
from tensorflow_federated.python.core.backends.native import compiler
from tensorflow_federated.python.core.environments.tensorflow_frontend import (
  tensorflow_computation,
)
from tensorflow_federated.python.core.impl.executor_stacks import python_executor_stacks
from tensorflow_federated.python.core.impl.types import placements

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import context as context_lib
from fedsafe_tff.runtime.failures import ComputationFailed, advice
from fedsafe_tff.runtime.silence import SILENT_SECONDS, Silence
from fedsafe_tff.runtime.worker import Worker
from fedsafe_tff.runtime.worker_stub import WorkerStub

_MAX_MESSAGE = 2_000_000_000
_CHANNEL_OPTIONS = [
  ("grpc.max_message_length", _MAX_MESSAGE),
  ("grpc.max_receive_message_length", _MAX_MESSAGE),
  ("grpc.max_send_message_length", _MAX_MESSAGE),
  ("grpc.enable_http_proxy", 0),  # else a proxy in the environment is asked for localhost
]
_CONNECT_SECONDS = 30.0
_POLL_SECONDS = 0.5
_EXIT_SECONDS = 2.0
# No method of the worker's: its gRPC, which has threads of its own, answers that it has none.
_SIGN_OF_LIFE = "/fedsafe/SignOfLife"
_BROKEN_LINK = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


def _compile(computation: tff.Computation) -> tff.Computation:
  """TFF's native compiler; secure sums become plain sums, which is all a simulation needs."""
  without_secure = tff.backends.test.replace_secure_intrinsics_with_bodies(computation)
  return compiler.desugar_and_transform_to_native(without_secure)


class WorkerDied(UserError, RuntimeError):
  """The worker died or hung more often than it may; its exit and its log are named."""


class _Context(context_lib.OwnContext, tff.framework.SyncExecutionContext):
  """A context of ours, told apart from TFF's own by its type."""


class NativeRuntime:
  """Runs TFF computations in a worker of its own; a context manager.

  While it is open it is TFF's default context on the thread that opened it (that context is
  thread-local). Invoke computations through `call`, which survives a death of the worker, and a
  hang, which becomes a death. What waits for ever inside TensorFlow is not noticed.
  """

  def __init__(
    self,
    log_path: str | os.PathLike,
    *,
    threads: int = 0,
    max_clients: int = 0,
    restarts: int = 1,
    silent_seconds: float = SILENT_SECONDS,
    log: Callable[[str], None] = lambda text: None,
  ):
    """Starts nothing yet.

    Args:
      log_path: File for the worker's output.
      threads: Threads of TensorFlow in the worker; 0 means all cores.
      max_clients: Clients that run at the same time; 0 means no limit.
      restarts: How often a worker that died or hung is replaced.
      silent_seconds: After how long without a sign of life it counts as hung, and is killed.
      log: Is told when the worker is restarted.
    """
    self._log_path = log_path
    self._threads = threads
    self._max_clients = max_clients
    self._log = log
    self._worker: Worker | None = None
    self._channel: grpc.Channel | None = None
    self._context: _Context | None = None
    self._outer: context_lib.OwnContext | None = None
    self._restarts = restarts
    self._restarts_left = restarts
    self._silent_seconds = silent_seconds
    self._hung = False

  def __enter__(self) -> "NativeRuntime":
    self._outer = context_lib.current_own_context()
    self._open()
    return self

  def __exit__(self, *error) -> None:
    self.close()
    if self._outer is not None:
      tff.framework.set_default_context(self._outer)

  @property
  def devices(self) -> list[str]:
    """Where clients run, for the manifest."""
    return ["CPU (TFF's worker)"]

  @property
  def worker_pid(self) -> int:
    """Process id of the worker."""
    return self._worker.pid

  def kill_worker(self) -> None:
    """Kills the worker, from any thread; a call under way fails."""
    self._worker.kill()

  def _open(self) -> None:
    self._hung = False
    self._worker = Worker(self._log_path, threads=self._threads, max_clients=self._max_clients)
    if not self._worker.alone:
      self._log(
        f"TFF's worker listens on all interfaces, port {self._worker.port}: this system allows no "
        "network of its own (user namespaces); firewall it, or --runtime=device, which has no port"
      )
      self._check_port(self._worker.port)
    self._channel = grpc.insecure_channel(self._worker.target, options=_CHANNEL_OPTIONS)
    self._context = _Context(
      executor_fn=self._executor_factory(self._worker, self._channel),
      compiler_fn=_compile,
      transform_args=tensorflow_computation.transform_args,
      transform_result=tensorflow_computation.transform_result,
    )
    tff.framework.set_default_context(self._context)

  def _check_port(self, port: int) -> None:
    try:
      socket.create_connection(("localhost", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
      self.close()
      raise UserError(
        f"no connection to the TFF worker on localhost port {port} ({error}): does a firewall "
        f"block local ports? see {self._log_path}"
      ) from None

  @staticmethod
  def _executor_factory(worker: Worker, channel: grpc.Channel):
    stub = WorkerStub(channel)

    def executor_for(cardinalities):
      if not worker.alive():
        raise ConnectionError(
          f"the TFF worker is gone (exit code {worker.exit_code()}): was its runtime closed?"
        )
      counts = {placements.CLIENTS: 0, **cardinalities}
      executor = tff.framework.RemoteExecutor(stub)
      executor.set_cardinalities(counts)
      return executor

    return python_executor_stacks.ResourceManagingExecutorFactory(executor_for)

  def call(self, computation: tff.Computation, *arguments: Any) -> Any:
    """Invokes `computation`; if the worker dies or hangs, starts another and invokes again.

    Call it from the thread that opened the runtime.

    Raises:
      ComputationFailed: An operation failed in the worker; nothing is repeated.
      WorkerDied: It died or hung more often than it may be replaced.
      RuntimeError: The runtime is not open.
    """
    if self._channel is None:
      raise RuntimeError("this NativeRuntime is not open: use it as a context manager")
    while True:
      try:
        return self._watched(computation, arguments)
      except Exception as error:
        if not self._worker_ended(error):
          if isinstance(error, grpc.RpcError):
            raise ComputationFailed(_message(error)) from error
          raise
        code = self._worker.exit_code()
        how = f"died (exit code {code}"
        if code < 0:
          how = f"died (signal {signal.Signals(-code).name}"
        if self._hung:
          how = f"hung (no sign of life for {self._silent_seconds:g} s, killed"
        if not self._restarts_left:
          raise WorkerDied(
            f"the TFF worker {how}; restarts before: {self._restarts}): is memory "
            f"short? see {self._log_path}"
          ) from error
        self._restarts_left -= 1
        self._log(f"the TFF worker {how}): starting another and repeating the call")
        self.close()
        self._open()

  def _watched(self, computation: tff.Computation, arguments: tuple) -> Any:
    """Invokes while a thread looks after the worker and breaks the channel when it is gone."""
    done = threading.Event()
    watcher = threading.Thread(target=self._watch, args=(done,), daemon=True)
    watcher.start()
    try:
      # Installed, not left to the default: another runtime may have been opened since.
      with tff.framework.get_context_stack().install(self._context):
        return computation(*arguments)
    finally:
      done.set()
      watcher.join()

  def _watch(self, done: threading.Event) -> None:
    worker, channel = self._worker, self._channel
    ask = channel.unary_unary(_SIGN_OF_LIFE)
    question: grpc.Future | None = None
    silence = Silence(self._silent_seconds)
    try:
      while not done.wait(min(_POLL_SECONDS, self._silent_seconds / 4)):
        if question is not None and question.done():
          if question.code() is grpc.StatusCode.UNIMPLEMENTED:
            silence.heard()
          question = None
        if question is None:
          question = ask.future(b"")
        if silence.too_long():
          self._hung = True
          worker.kill()
        if not worker.alive():
          channel.close()  # fails the calls under way at once
          return
    finally:
      if question is not None:
        question.cancel()

  def _worker_ended(self, error: Exception) -> bool:
    """Whether the worker is gone; one whose link broke gets a moment to become a dead process."""
    broken = isinstance(error, grpc.RpcError) and error.code() in _BROKEN_LINK
    deadline = time.monotonic() + (_EXIT_SECONDS if broken else 0.0)
    while self._worker.alive():
      if time.monotonic() >= deadline:
        return False
      time.sleep(_POLL_SECONDS / 10)
    return True

  def close(self) -> None:
    """Ends the worker; a second call does nothing."""
    if self._channel is not None:
      self._channel.close()
      self._channel = None
    if self._worker is not None:
      self._worker.close()


def _message(error: grpc.RpcError) -> str:
  """The operation's own words, on one line; the client's traceback names the rest."""
  said = " ".join(str(error.details()).split())
  return f"{error.code().name}: {said}{advice(said)}"
