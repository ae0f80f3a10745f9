"""TFF computations cut into pure TensorFlow parts: prepare, work, accumulate, report, update.

TFF's map-reduce compiler takes computations of two arguments, a state at the server and a value at
the clients, that return a new state and an output. Any computation over values at the server and at
the clients is wrapped into that form: its server arguments become the state, which is passed
through, and its server results the output. Results at the clients, such as their copies of a
model, become the input of an aggregation that is never carried out.

A `federated_select` has no place in that form: use the `map` downlink.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.python.core.backends.mapreduce.compiler import (
  MapReduceFormCompilationError,
)

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import values
from fedsafe_tff.runtime.failures import one_line
from fedsafe_tff.runtime.parts import Part

_NATIVE = "run it with --runtime=native"


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A computation in parts. A part takes the flat values of its arguments one after another.

  Attributes:
    server: Positions of the arguments at the server.
    clients: Positions of the arguments at the clients.
    prepare: Server arguments -> what every client receives.
    work: A client's arguments, what it received -> its result.
    zero: -> the empty accumulator.
    accumulate: Accumulator, a client's result -> accumulator.
    report: Accumulator -> aggregate.
    update: Server arguments, aggregate -> results at the server.
    at_clients: Whether the computation's results are those of `work`.
    same_everywhere: Whether all clients have the same result, which is then returned once.
  """

  server: tuple[int, ...]
  clients: tuple[int, ...]
  prepare: Part
  work: Part
  zero: Part
  accumulate: Part
  report: Part
  update: Part
  at_clients: bool
  same_everywhere: bool


def is_plain(computation: tff.Computation) -> bool:
  """Whether it is a single TensorFlow computation, without placements."""
  return tff.framework.serialize_computation(computation).WhichOneof("computation") == "tensorflow"


def part_of(name: str, computation: tff.Computation, skip_outputs: int = 0) -> Part:
  """The part that a plain TensorFlow computation is.

  Args:
    name: Its name for messages.
    computation: The computation.
    skip_outputs: How many of the first outputs are left out.
  """
  proto = tff.framework.serialize_computation(computation)
  kind = proto.WhichOneof("computation")
  if kind != "tensorflow":
    raise UserError(f"this runtime runs TensorFlow only, not {kind}: {_NATIVE}")
  graph = proto.tensorflow
  has_parameter = computation.type_signature.parameter is not None
  return Part(
    name=name,
    graph_def=graph.graph_def.value,
    inputs=_tensor_names(graph.parameter) if has_parameter else (),
    outputs=_tensor_names(graph.result)[skip_outputs:],
    initialize_op=graph.initialize_op,
  )


def _tensor_names(binding) -> tuple[str, ...]:
  kind = binding.WhichOneof("binding")
  if kind == "struct":
    return tuple(name for element in binding.struct.element for name in _tensor_names(element))
  if kind == "tensor":
    return (binding.tensor.tensor_name,)
  if kind == "sequence":
    return (binding.sequence.variant_tensor_name,)
  return ()  # an empty structure


def compile_computation(computation: tff.Computation) -> Compiled:
  """Cuts a federated computation into parts.

  Raises:
    UserError: It has no such form.
  """
  parameter = computation.type_signature.parameter
  one_argument = isinstance(parameter, tff.FederatedType)
  arguments = [] if parameter is None else [parameter] if one_argument else list(parameter)
  server = _positions(arguments, tff.SERVER)
  clients = _positions(arguments, tff.CLIENTS)
  if len(server) + len(clients) < len(arguments):
    raise UserError(
      f"this runtime takes arguments at the server and at the clients, not {parameter}: {_NATIVE}"
    )
  results = _placed_types(computation.type_signature.result)
  placements = {leaf.placement for leaf in results}
  if len(placements) != 1:
    raise UserError(
      "this runtime returns results at the server or at the clients, not "
      f"{computation.type_signature.result}: {_NATIVE}"
    )
  at_clients = placements == {tff.CLIENTS}
  wrapped = _wrap(computation, arguments, server, clients, at_clients)
  without_secure = tff.backends.test.replace_secure_intrinsics_with_bodies(wrapped)
  # The graphs are optimised when they run; here it would only take time.
  options = tf.compat.v1.ConfigProto()
  options.graph_options.rewrite_options.disable_meta_optimizer = True
  try:
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(without_secure, options)
  except (TypeError, ValueError, MapReduceFormCompilationError) as error:
    raise UserError(
      "this computation has no map-reduce form (federated_select has none, for one; the downlink "
      f"can be map): {_NATIVE}: {one_line(error)[:300]}"
    ) from error
  states = values.count_leaves(form.update.type_signature.result[0])
  return Compiled(
    server=server,
    clients=clients,
    prepare=part_of("prepare", form.prepare),
    work=part_of("work", form.work),
    zero=part_of("zero", form.zero),
    accumulate=part_of("accumulate", form.accumulate),
    report=part_of("report", form.report),
    update=part_of("update", form.update, skip_outputs=states),
    at_clients=at_clients,
    same_everywhere=at_clients and all(leaf.all_equal for leaf in results),
  )


def _positions(arguments: Sequence[tff.Type], placement) -> tuple[int, ...]:
  return tuple(
    i
    for i, argument in enumerate(arguments)
    if isinstance(argument, tff.FederatedType) and argument.placement is placement
  )


def _placed_types(type_spec: tff.Type) -> list[tff.FederatedType]:
  """The placed values in a result, in order; an unplaced one ends in a UserError."""
  if isinstance(type_spec, tff.FederatedType):
    return [type_spec]
  if isinstance(type_spec, tff.StructType):
    elements = tff.structure.iter_elements(type_spec)
    return [leaf for _, element in elements for leaf in _placed_types(element)]
  raise UserError(f"this runtime returns placed results only, not {type_spec}: {_NATIVE}")


def _placed_values(value: tff.Value) -> list[tff.Value]:
  if isinstance(value.type_signature, tff.FederatedType):
    return [value]
  return [leaf for i in range(len(value.type_signature)) for leaf in _placed_values(value[i])]


def _wrap(
  computation: tff.Computation,
  arguments: Sequence[tff.Type],
  server: tuple[int, ...],
  clients: tuple[int, ...],
  at_clients: bool,
) -> tff.Computation:
  """The computation in the form of the map-reduce compiler."""

  def packed_type(positions, placement):
    # Numbered, as an argument can't be an empty structure.
    members = [arguments[i].member for i in positions] or [tff.TensorType(np.int32)]
    return tff.FederatedType(tff.StructType(members), placement)

  @tff.tensorflow.computation
  def nothing():
    return tf.constant(0)

  @tff.federated_computation(packed_type(server, tff.SERVER), packed_type(clients, tff.CLIENTS))
  def wrapped(state, client):
    given = {position: state[i] for i, position in enumerate(server)}
    given |= {position: client[i] for i, position in enumerate(clients)}
    found = _placed_values(computation(*(given[i] for i in range(len(arguments)))))
    if not at_clients:
      return state, tff.federated_zip(found)
    member = tff.StructType([value.type_signature.member for value in found])

    @tff.tensorflow.computation(np.int32, member)
    def ignore(accumulator, value):
      del value
      return accumulator

    @tff.tensorflow.computation(np.int32, np.int32)
    def merge(left, right):
      del right
      return left

    @tff.tensorflow.computation(np.int32)
    def report(accumulator):
      return accumulator

    return state, tff.federated_aggregate(
      tff.federated_zip(found), nothing(), ignore, merge, report
    )

  return wrapped
