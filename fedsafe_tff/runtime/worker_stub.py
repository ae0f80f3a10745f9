"""How TFF's C++ worker is talked to, so that an error ends a call."""

from collections.abc import Callable
from typing import Any

import grpc
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2_grpc
from tensorflow_federated.python.core.impl.executors import executors_errors


class WorkerStub(tff.framework.RemoteExecutorGrpcStub):
  """A stub whose errors end the call.

  TFF repeats UNAVAILABLE and FAILED_PRECONDITION for ever and without a word; the first is a dead
  worker, the second may be an operation that never succeeds.
  """

  def __init__(self, channel: grpc.Channel):
    # Not TFF's own __init__: its subscription to the channel's state polls on in a thread, which
    # prints a traceback when the channel is closed.
    self._channel = channel
    self._stub = executor_pb2_grpc.ExecutorGroupStub(channel)
    for name in ("get_executor", "create_value", "create_struct", "create_call"):
      setattr(self, name, _once(getattr(self, name)))
    for name in ("create_selection", "compute", "dispose", "dispose_executor"):
      setattr(self, name, _once(getattr(self, name)))


class _RpcFailed(grpc.RpcError):
  """A gRPC error that TFF does not repeat."""

  def __init__(self, error: grpc.Call):
    super().__init__(error.details())
    self._error = error

  def code(self) -> grpc.StatusCode:
    return self._error.code()

  def details(self) -> str:
    return self._error.details()


def _once(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
  def request(message):
    try:
      return method(message)
    except executors_errors.RetryableGRPCError as error:
      raise _RpcFailed(error) from None

  return request
