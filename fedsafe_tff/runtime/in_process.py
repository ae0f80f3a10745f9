"""What runtimes share that run a computation's parts themselves: the course of a call.

Server parts run in this process, on its first device. Where and when the clients' parts run is a
runtime's own affair; their results are added up one by one in the order of the clients, so that
nothing depends on timing.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import context as context_lib
from fedsafe_tff.runtime import failures, mapreduce, values
from fedsafe_tff.runtime.failures import ComputationFailed, operation_message
from fedsafe_tff.runtime.parts import LoadedPart, Part


@dataclasses.dataclass(frozen=True)
class ClientTask:
  """The work of the clients of one call.

  Attributes:
    part: The part that they run.
    clients: Per client, the flat values of its arguments.
    received: What all of them receive from the server.
    names: Per client, what to call it in messages.
  """

  part: Part
  clients: Sequence[Sequence[Any]]
  received: Sequence[tf.Tensor]
  names: Sequence[str]


class InProcessRuntime(abc.ABC):
  """Runs TFF computations as parts; a context manager.

  While it is open it is TFF's default context on the thread that opened it. Invoke computations
  through `call`, or as functions.
  """

  def __init__(self, log: Callable[[str], None] = lambda text: None):
    """Starts nothing yet.

    Args:
      log: Is told what a user should know.
    """
    self._log = log
    self._server_device: str | None = None
    self._context: context_lib.InProcessContext | None = None
    self._outer: context_lib.OwnContext | None = None
    # Kept with the computation, whose id would be given to another one otherwise.
    self._compiled: dict[int, tuple[tff.Computation, Any]] = {}
    self._loaded: dict[int, LoadedPart] = {}

  @property
  @abc.abstractmethod
  def devices(self) -> list[str]:
    """Where clients run, for the manifest."""

  @abc.abstractmethod
  def _start(self) -> None:
    """Takes what it needs; sets `_server_device`."""

  @abc.abstractmethod
  def _stop(self) -> None:
    """Gives it back; a second call does nothing."""

  @abc.abstractmethod
  def _client_results(self, task: ClientTask) -> Iterator[Sequence[Any]]:
    """The clients' flat results in their order; holds only a few of them at a time."""

  def __enter__(self):
    self._outer = context_lib.current_own_context()
    try:
      self._start()
    except BaseException:
      self._stop()
      raise
    self._context = context_lib.InProcessContext(self._invoke)
    tff.framework.set_default_context(self._context)
    return self

  def __exit__(self, *error) -> None:
    self.close()
    if self._outer is not None:
      tff.framework.set_default_context(self._outer)

  def close(self) -> None:
    """Ends the runtime; a second call does nothing."""
    self._context = None
    self._compiled.clear()
    self._loaded.clear()
    self._stop()

  def call(self, computation: tff.Computation, *arguments: Any) -> Any:
    """Invokes `computation`.

    Raises:
      ComputationFailed: An operation failed; its stage, and for clients their number and the
        round, are named.
      RuntimeError: The runtime is not open.
    """
    if self._context is None:
      raise RuntimeError(f"this {type(self).__name__} is not open: use it as a context manager")
    with tff.framework.get_context_stack().install(self._context):
      return computation(*arguments)

  def _invoke(self, computation: tff.Computation, argument: Any) -> Any:
    if self._context is None:
      raise RuntimeError(f"this {type(self).__name__} is closed")
    if id(computation) not in self._compiled:
      self._compiled[id(computation)] = (computation, self._compile(computation))
    _, compiled = self._compiled[id(computation)]
    if isinstance(compiled, Part):
      return self._invoke_plain(compiled, computation.type_signature, argument)
    return self._invoke_federated(compiled, computation.type_signature, argument)

  @staticmethod
  def _compile(computation: tff.Computation) -> Any:
    if mapreduce.is_plain(computation):
      return mapreduce.part_of("computation", computation)
    return mapreduce.compile_computation(computation)

  def _invoke_plain(self, part: Part, signature: tff.FunctionType, argument: Any) -> Any:
    flat = [] if signature.parameter is None else values.flatten(argument, signature.parameter)
    return values.unflatten(iter(self._at_server(part, flat)), signature.result)

  def _invoke_federated(
    self, compiled: mapreduce.Compiled, signature: tff.FunctionType, argument: Any
  ) -> Any:
    types, given = _arguments(signature.parameter, argument)
    server = [
      leaf for i in compiled.server for leaf in values.flatten(given[i], types[i].member)
    ] or [0]
    member_types = [types[i].member for i in compiled.clients]
    clients = _rows([given[i] for i in compiled.clients], member_types)
    received = self._at_server(compiled.prepare, server)
    where = _round(server, [types[i] for i in compiled.server])
    names = [_name(client, i, member_types) + where for i, client in enumerate(clients)]
    if compiled.at_clients:
      if compiled.same_everywhere:
        if not clients:
          raise UserError("a value at the clients needs at least one client")
        clients = clients[:1]
      task = ClientTask(compiled.work, clients, received, names)
      rows = [[values.to_numpy(v) for v in result] for result in self._client_results(task)]
      return values.gather(rows, signature.result)
    total = self._at_server(compiled.zero, [])
    if compiled.clients:
      task = ClientTask(compiled.work, clients, received, names)
      for result in self._client_results(task):
        total = self._at_server(compiled.accumulate, [*total, *result])
    aggregate = self._at_server(compiled.report, total)
    results = self._at_server(compiled.update, [*server, *aggregate])
    return values.unflatten(iter(results), signature.result)

  def _at_server(self, part: Part, flat: Sequence[Any]) -> list[tf.Tensor]:
    try:
      return self._load(part)(flat, self._server_device)
    except tf.errors.OpError as error:
      raise failure(error, f"stage {part.name} at the server") from error

  def _load(self, part: Part) -> LoadedPart:
    if id(part) not in self._loaded:
      self._loaded[id(part)] = LoadedPart(part)
    return self._loaded[id(part)]


def failure(error: tf.errors.OpError, where: str) -> ComputationFailed:
  """The error of an operation with the place where it happened."""
  advice = ""
  if isinstance(error, tf.errors.ResourceExhaustedError):
    advice = "; memory is short: lower --batch_size or the number of clients side by side"
  elif "DNN library is not found" in error.message:
    advice = (
      "; TensorFlow can't open cuDNN, mostly because another process holds the card's memory: look "
      "at nvidia-smi, and give each its part with --gpu_memory_limit"
    )
  said = operation_message(error.message)
  advice = advice or failures.advice(said)
  return ComputationFailed(f"{where}: {type(error).__name__}: {said}{advice}")


def _arguments(parameter: tff.Type | None, argument: Any) -> tuple[list[tff.Type], list[Any]]:
  if parameter is None:
    return [], []
  if isinstance(parameter, tff.FederatedType):
    return [parameter], [argument]
  given = [value for _, value in tff.structure.iter_elements(argument)]
  return list(parameter), given


def _rows(columns: list[Sequence[Any]], types: Sequence[tff.Type]) -> list[list[Any]]:
  """Per client, the flat values of all its arguments."""
  if len({len(column) for column in columns}) > 1:
    raise TypeError(f"arguments at the clients of lengths {[len(c) for c in columns]}")
  return [
    [leaf for value, t in zip(row, types) for leaf in values.flatten(value, t)]
    for row in zip(*columns)
  ]


def _name(client: Sequence[Any], index: int, types: Sequence[tff.Type]) -> str:
  """What to call a client: by its identifier where it has one, else by its place."""
  position = values.position_of("client", types)
  if position is None and len(client) == 1 and values.is_scalar_integer(types[0]):
    position = 0
  number = index if position is None else int(values.to_numpy(client[position]))
  text = f"client {number}"
  round_position = values.position_of("round", types)
  if round_position is not None:
    text += f", round {int(values.to_numpy(client[round_position])) + 1}"
  return text


def _round(server: Sequence[Any], types: Sequence[tff.Type]) -> str:
  position = values.position_of("round", types)
  return "" if position is None else f", round {int(values.to_numpy(server[position])) + 1}"
