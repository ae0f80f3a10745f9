"""A TensorFlow computation cut out of TFF: a graph with named inputs and outputs.

Nothing here needs TFF, so that a machine of a cluster runs a part without importing it. Values
are flat lists of tensors or arrays.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Part:
  """A pure TensorFlow computation; it can be pickled.

  Attributes:
    name: Its stage, for messages: "prepare", "work" and so on.
    graph_def: A serialised `tf.compat.v1.GraphDef`.
    inputs: Names of the tensors fed, in order.
    outputs: Names of the tensors fetched, in order.
    initialize_op: Name of the operation to run first; empty if there is none.
  """

  name: str
  graph_def: bytes
  inputs: tuple[str, ...]
  outputs: tuple[str, ...]
  initialize_op: str = ""


class LoadedPart:
  """A part, imported into this process and callable on any of its devices."""

  def __init__(self, part: Part):
    self.part = part
    graph_def = tf.compat.v1.GraphDef.FromString(part.graph_def)
    if part.initialize_op:
      _separate_resources(graph_def)

    def bring_in():
      tf.graph_util.import_graph_def(graph_def, name="")

    graph = tf.compat.v1.wrap_function(bring_in, [])
    element = graph.graph.as_graph_element
    self._initialize = None
    if part.initialize_op:
      self._initialize = graph.prune([], [element(part.initialize_op)])
    inputs = [element(name) for name in part.inputs]
    # Without a signature TensorFlow tries one by name in every call, and prints all weights into
    # the error that it then drops: tens of milliseconds.
    specs = tuple(tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs)
    outputs = [element(name) for name in part.outputs]
    self._run = graph.prune(inputs, outputs, input_signature=(specs, {}))
    self._dtypes = [tensor.dtype for tensor in inputs]

  def __call__(self, values: Sequence[Any], device: str | None = None) -> list[tf.Tensor]:
    """Runs the part.

    Args:
      values: Arrays or tensors, one per input.
      device: Name of a device of TensorFlow; None leaves the choice to TensorFlow.

    Returns:
      One tensor per output.
    """
    if not self.part.outputs:
      return []
    with tf.device(device):
      if self._initialize is not None:
        self._initialize()
      tensors = [
        value if isinstance(value, tf.Tensor) else tf.constant(value, dtype)
        for value, dtype in zip(values, self._dtypes, strict=True)
      ]
      return list(self._run(*tensors))


def _separate_resources(graph_def: tf.compat.v1.GraphDef) -> None:
  """Gives the part's variables and tables a container of their own.

  In this process they would otherwise be those of another part with the same names.
  """
  container = f"part{next(_numbers)}".encode()
  for nodes in (graph_def.node, *(f.node_def for f in graph_def.library.function)):
    for node in nodes:
      if "shared_name" in node.attr and "container" in node.attr:
        node.attr["container"].s = container
