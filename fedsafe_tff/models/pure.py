"""Cuts a traced model free of what is no pure function: variables, functions, stateful draws."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError

_STATELESS = {
  "RandomUniform": "StatelessRandomUniformV2",
  "RandomStandardNormal": "StatelessRandomNormalV2",
  "TruncatedNormal": "StatelessTruncatedNormalV2",
}
_READS = ("ReadVariableOp",)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "While", "If")

# (images, key, *weights) -> logits
Pass = Callable[..., tf.Tensor]


def from_variables(
  forward: Callable[[tf.Tensor], tf.Tensor],
  trainable: Sequence[tf.Variable],
  frozen: Sequence[tf.Variable],
  image_spec: tf.TensorSpec,
  name: str,
) -> Pass:
  """A forward pass that reads variables, as a differentiable function of its weights.

  Args:
    forward: Images to logits.
    trainable: The variables that become arguments.
    frozen: Other variables that it reads; they become constants of the values that they have.
    image_spec: Of the images.
    name: Of the model, for messages.

  Raises:
    UserError: It does not take such images, assigns to `frozen`, or uses ops that can't be made
      pure.
  """
  traced = _traced(forward, image_spec, name)
  graph_def = traced.graph.as_graph_def()
  captured = {id(handle): inner.op.name for handle, inner in traced.graph.captures}
  handle_of = {
    captured[id(v.handle)]: i for i, v in enumerate(trainable) if id(v.handle) in captured
  }
  constants = {captured[id(v.handle)]: v for v in frozen if id(v.handle) in captured}
  _refuse_updates(graph_def, constants, name)
  fed: dict[str, np.ndarray] = {}
  reads: dict[str, int] = {}
  for node in graph_def.node:
    if node.op not in _READS:
      continue
    source = node.input[0].split(":")[0]
    if source in constants:
      fed[node.name] = constants[source].numpy()
      _make_placeholder(node, constants[source].dtype)
      continue
    if source not in handle_of:
      raise UserError(f"{name} reads a variable that is not one of its weights ({source})")
    reads[node.name] = handle_of[source]
    _make_placeholder(node, trainable[handle_of[source]].dtype)
  # A resource nobody reads any more would still wait to be fed.
  resources = {*handle_of, *constants}
  kept = [copy.deepcopy(node) for node in graph_def.node if node.name not in resources]
  del graph_def.node[:]
  graph_def.node.extend(kept)
  specs = [tf.TensorSpec(v.shape, v.dtype) for v in trainable]
  names = traced.inputs[0].name, traced.outputs[0].name
  return _pure(graph_def, *names, reads, fed, [image_spec, keys.SPEC, *specs], name)


def _traced(forward: Callable[[tf.Tensor], tf.Tensor], image_spec: tf.TensorSpec, name: str):
  """The graph of a forward pass."""
  try:
    with _functions_inlined():
      return tf.function(forward).get_concrete_function(image_spec)
  except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # AutoGraph puts the user's frames before the reason, Keras the arguments of the call behind it.
    said = [line for line in lines if "Error: " in line][-1:] or lines or [type(error).__name__]
    shape = "x".join("n" if side is None else str(side) for side in image_spec.shape)
    raise UserError(
      f"{name} can't be applied to images of shape {shape}, float32 in [0, 1]: {said[0]}"
    ) from error


def from_tensors(
  forward: Callable[[Sequence[tf.Tensor], tf.Tensor], tf.Tensor],
  weight_specs: Sequence[tf.TensorSpec],
  image_spec: tf.TensorSpec,
  name: str,
) -> Pass:
  """A forward pass (weights, images) -> logits, traced in a graph, with its random ops keyed.

  Raises:
    UserError: It uses ops that can't be made pure, or gives no single tensor.
  """
  with tf.Graph().as_default() as graph, _functions_inlined():
    images = tf.compat.v1.placeholder(image_spec.dtype, image_spec.shape)
    weights = [tf.compat.v1.placeholder(spec.dtype, spec.shape) for spec in weight_specs]
    logits = forward(tuple(weights), images)
  if not isinstance(logits, tf.Tensor):
    raise UserError(f"{name} returns {type(logits).__name__}, but one tensor of logits is needed")
  # A Keras model that is built anew inside leaves ops behind on which no logit depends.
  used = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [logits.op.name])
  reads = {weight.op.name: index for index, weight in enumerate(weights)}
  signature = [image_spec, keys.SPEC, *weight_specs]
  return _pure(used, images.name, logits.name, reads, {}, signature, name)


@contextlib.contextmanager
def _functions_inlined() -> Iterator[None]:
  """Calls of a `tf.function` inside are traced into the caller's graph."""
  before = tf.config.functions_run_eagerly()
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(before)


def _pure(
  graph_def: Any,
  image_input: str,
  output: str,
  reads: Mapping[str, int],
  constants: Mapping[str, np.ndarray],
  signature: Sequence[tf.TensorSpec],
  name: str,
) -> Pass:
  """The function that a graph of placeholders is; `reads` says which weight feeds which."""
  random_ops = []
  for node in graph_def.node:
    if node.op in _STATELESS:
      random_ops.append(node.name)
      node.op = _STATELESS[node.op]
      shape_type = node.attr["T"].type
      shape = node.input[0]
      for attribute in list(node.attr):
        if attribute != "dtype":
          del node.attr[attribute]
      node.attr["Tshape"].type = shape_type
      del node.input[:]
      node.input.extend([shape, f"{node.name}/key", f"{node.name}/counter", f"{node.name}/alg"])
    elif node.op in _CALLS or node.op.startswith("Random"):
      raise UserError(f"{name} uses {node.op} ({node.name}), which can't be made a pure function")
  for op in random_ops:
    for part, dtype in (("key", tf.uint64), ("counter", tf.uint64), ("alg", tf.int32)):
      _make_placeholder(graph_def.node.add(name=f"{op}/{part}"), dtype)
  for node in graph_def.node:  # the ops are pure now: nothing has to wait for a read
    data_inputs = [source for source in node.input if not source.startswith("^")]
    del node.input[:]
    node.input.extend(data_inputs)

  present = {node.name for node in graph_def.node}

  def pure(images, key, *weights):
    feeds = {image_input: images}
    feeds |= {f"{read}:0": tf.constant(value) for read, value in constants.items()}
    for read, index in reads.items():
      feeds[f"{read}:0"] = weights[index]
    for number, op in enumerate(random_ops):
      parts = tf.raw_ops.StatelessRandomGetKeyCounter(seed=keys.fold(key, keys.DROPOUT, number))
      feeds |= {
        f"{op}/key:0": parts[0],
        f"{op}/counter:0": parts[1],
        f"{op}/alg:0": tf.constant(1),  # Philox
      }
    feeds = {name: value for name, value in feeds.items() if name.partition(":")[0] in present}
    (logits,) = tf.graph_util.import_graph_def(
      graph_def, input_map=feeds, return_elements=[output], name=""
    )
    return logits

  return tf.compat.v1.wrap_function(pure, signature)


def _refuse_updates(graph_def, frozen, name):
  updated = [
    frozen[node.input[0].split(":")[0]].name
    for node in graph_def.node
    if node.op.startswith("Assign") and node.input[0].split(":")[0] in frozen
  ]
  if updated:
    raise UserError(
      f"{name} has weights that training updates without a gradient ({', '.join(updated[:3])}): "
      "federated averaging needs a model without BatchNorm; use GroupNormalization, or freeze it"
    )


def _make_placeholder(node, dtype):
  """Turns a node into a placeholder, to be fed by `input_map`."""
  node.op = "Placeholder"
  del node.input[:]
  for attribute in list(node.attr):
    del node.attr[attribute]
  node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
