"""The native runtime: TFF's C++ worker behind a context that notices when it dies."""

import os
import signal
import threading
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

from fedsafe_tff.runtime.worker import Worker

_MAX_MESSAGE = 2_000_000_000
_POLL_SECONDS = 0.5


class WorkerDied(RuntimeError):
  """The worker died more often than it may; its exit and its log are named."""


class NativeRuntime:
  """Runs TFF computations in a worker of its own; a context manager.

  While it is open it is TFF's default context on the thread that opened it (that context is
  thread-local). Invoke computations through `call`, which survives a death of the worker.
  """

  def __init__(
    self,
    log_path: str | os.PathLike,
    *,
    threads: int = 0,
    max_clients: int = 0,
    restarts: int = 1,
    log: Callable[[str], None] = lambda text: None,
  ):
    """Starts nothing yet.

    Args:
      log_path: File for the worker's output.
      threads: Threads of TensorFlow in the worker; 0 means all cores.
      max_clients: Clients that run at the same time; 0 means no limit.
      restarts: How often a worker that died is replaced.
      log: Is told when the worker is restarted.
    """
    self._log_path = log_path
    self._threads = threads
    self._max_clients = max_clients
    self._log = log
    self._worker: Worker | None = None
    self._channel: grpc.Channel | None = None
    self._restarts_left = restarts

  def __enter__(self) -> "NativeRuntime":
    self._open()
    return self

  def __exit__(self, *error) -> None:
    self.close()

  @property
  def worker_pid(self) -> int:
    """Process id of the worker."""
    return self._worker.pid

  def kill_worker(self) -> None:
    """Kills the worker, from any thread; a call under way fails."""
    os.kill(self._worker.pid, signal.SIGKILL)

  def _open(self) -> None:
    worker = Worker(self._log_path, threads=self._threads, max_clients=self._max_clients)
    options = [
      ("grpc.max_message_length", _MAX_MESSAGE),
      ("grpc.max_receive_message_length", _MAX_MESSAGE),
      ("grpc.max_send_message_length", _MAX_MESSAGE),
    ]
    channel = grpc.insecure_channel(f"localhost:{worker.port}", options=options)
    grpc.channel_ready_future(channel).result(timeout=30)
    self._worker, self._channel = worker, channel
    tff.framework.set_default_context(
      tff.framework.SyncExecutionContext(
        executor_fn=self._executor_factory(worker, channel),
        compiler_fn=compiler.desugar_and_transform_to_native,
        transform_args=tensorflow_computation.transform_args,
        transform_result=tensorflow_computation.transform_result,
      )
    )

  @staticmethod
  def _executor_factory(worker: Worker, channel: grpc.Channel):
    stub = tff.framework.RemoteExecutorGrpcStub(channel)

    def executor_for(cardinalities):
      if not worker.alive():
        # TFF retries an unreachable worker for ever; this error ends the attempt.
        raise ConnectionError(f"the TFF worker ended with exit code {worker.exit_code()}")
      counts = {placements.CLIENTS: 0, **cardinalities}
      executor = tff.framework.RemoteExecutor(stub)
      executor.set_cardinalities(counts)
      return executor

    return python_executor_stacks.ResourceManagingExecutorFactory(executor_for)

  def call(self, computation: tff.Computation, *arguments: Any) -> Any:
    """Invokes `computation`; if the worker dies, starts another and invokes again.

    Raises:
      WorkerDied: It died more often than it may be replaced.
    """
    while True:
      try:
        return self._watched(computation, arguments)
      except Exception as error:
        self._worker_exited(timeout=2.0)
        if self._worker.alive():
          raise
        code = self._worker.exit_code()
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        if not self._restarts_left:
          raise WorkerDied(
            f"the TFF worker died again (by {how}): out of memory? see {self._log_path}"
          ) from error
        self._restarts_left -= 1
        self._log(f"the TFF worker died ({how}): starting another and repeating the call")
        self.close()
        self._open()

  def _watched(self, computation: tff.Computation, arguments: tuple) -> Any:
    """Invokes while a thread looks after the worker and breaks the channel when it dies."""
    worker, channel = self._worker, self._channel
    done = threading.Event()

    def watch():
      while not done.wait(_POLL_SECONDS):
        if not worker.alive():
          channel.close()  # fails the calls under way at once
          return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
      return computation(*arguments)
    finally:
      done.set()
      watcher.join()

  def _worker_exited(self, timeout: float) -> None:
    """Gives a worker whose connection broke a moment to become a finished process."""
    waited = threading.Event()
    for _ in range(int(timeout / 0.1)):
      if not self._worker.alive():
        return
      waited.wait(0.1)

  def close(self) -> None:
    """Ends the worker; a second call does nothing."""
    if self._channel is not None:
      self._channel.close()
      self._channel = None
    if self._worker is not None:
      self._worker.close()
