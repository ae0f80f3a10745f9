"""Any Keras model as a functional model.

The model is traced once; its graph is cut free of its variables, which become arguments, and its
random ops become stateless ones fed by the key, so that dropout masks are as repeatable as
everything else. Frozen weights become constants. Weights that training updates without a gradient
(BatchNorm's moving statistics) have no place in a federated average and are refused.
"""

import contextlib
import copy
import hashlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights

_STATELESS = {
  "RandomUniform": "StatelessRandomUniformV2",
  "RandomStandardNormal": "StatelessRandomNormalV2",
  "TruncatedNormal": "StatelessTruncatedNormalV2",
}
_READS = ("ReadVariableOp",)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
  """Keras's initializers draw from `seed` inside; Python's and numpy's generators are put back.

  Keras takes 32 bits: of a larger seed, a hash.
  """
  before = random.getstate(), np.random.get_state()
  if seed >= 2**32:
    seed = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")
  tf.keras.utils.set_random_seed(seed)
  try:
    yield
  finally:
    random.setstate(before[0])
    np.random.set_state(before[1])


def from_keras(
  build: Callable[[tuple[int, int, int], int], tf.keras.Model],
  *,
  input_shape: tuple[int, int, int],
  num_classes: int,
  name: str = "keras",
) -> FunctionalModel:
  """Adapts the Keras model that `build(input_shape, num_classes)` returns.

  Args:
    build: Makes a Keras model that takes float32 [n, h, w, c] in [0, 1] and returns logits.
    input_shape: (height, width, channels).
    num_classes: Number of logits.
    name: A short name, for manifests.

  Returns:
    The functional model. Its initial weights are those that the Keras model has, pretrained ones
    too, whatever the key: `seeded` around `build` makes drawn ones repeatable.

  Raises:
    UserError: Training updates weights without a gradient, or the model returns the wrong shape or
      uses ops that can't be cut free (control flow around variables, unknown random ops).
  """
  model = build(tuple(input_shape), num_classes)
  if not isinstance(model, tf.keras.Model):
    raise UserError(f"{name} must return a Keras model, but returned {type(model).__name__}")
  if not model.built:
    model.build((None, *input_shape))
  values = [v.numpy() for v in model.trainable_weights]
  specs = [tf.TensorSpec(v.shape, v.dtype) for v in model.trainable_weights]
  image_spec = tf.TensorSpec([None, *input_shape], tf.float32)
  passes = {
    training: _cut_free(model, image_spec, specs, training, name) for training in (False, True)
  }
  logits_shape = passes[False].structured_outputs.shape
  if logits_shape.rank != 2 or logits_shape[-1] != num_classes:
    raise UserError(
      f"{name} returns shape {logits_shape}, but [n, {num_classes}] logits are needed"
    )

  def init(key: tf.Tensor) -> Weights:
    del key
    return tuple(tf.constant(value) for value in values)

  def apply(weights, images, key, training):
    key = keys.root(0) if key is None else key
    return passes[training](images, key, *weights)

  return FunctionalModel(
    name=name,
    input_shape=tuple(input_shape),
    num_classes=num_classes,
    init_fn=init,
    apply_fn=apply,
  )


def _cut_free(model, image_spec, weight_specs, training, name):
  """A differentiable function (images, key, *weights) -> logits without variables."""

  @tf.function
  def forward(images):
    return model(images, training=training)

  traced = forward.get_concrete_function(image_spec)
  graph_def = traced.graph.as_graph_def()
  captured = {id(handle): inner.op.name for handle, inner in traced.graph.captures}
  handle_of = {
    captured[id(v.handle)]: i
    for i, v in enumerate(model.trainable_weights)
    if id(v.handle) in captured
  }
  frozen = {
    captured[id(v.handle)]: v for v in model.non_trainable_weights if id(v.handle) in captured
  }
  _refuse_updates(graph_def, frozen, name)
  constants: dict[str, np.ndarray] = {}
  reads, random_ops = {}, []
  for node in graph_def.node:
    if node.op in _READS:
      source = node.input[0].split(":")[0]
      if source in frozen:
        constants[node.name] = frozen[source].numpy()
        _make_placeholder(node, frozen[source].dtype)
        continue
      if source not in handle_of:
        raise UserError(f"{name} reads a variable that is not one of its weights ({source})")
      reads[node.name] = handle_of[source]
      _make_placeholder(node, model.trainable_weights[handle_of[source]].dtype)
    elif node.op in _STATELESS:
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
    elif node.op in ("PartitionedCall", "StatefulPartitionedCall", "While", "If") or (
      node.op.startswith("Random")
    ):
      raise UserError(f"{name} uses {node.op} ({node.name}), which can't be made a pure function")
  for op in random_ops:
    for part, dtype in (("key", tf.uint64), ("counter", tf.uint64), ("alg", tf.int32)):
      _make_placeholder(graph_def.node.add(name=f"{op}/{part}"), dtype)
  # A resource nobody reads any more would still wait to be fed.
  resources = {*handle_of, *frozen}
  kept = [copy.deepcopy(node) for node in graph_def.node if node.name not in resources]
  del graph_def.node[:]
  graph_def.node.extend(kept)
  for node in graph_def.node:  # the ops are pure now: nothing has to wait for a read
    data_inputs = [source for source in node.input if not source.startswith("^")]
    del node.input[:]
    node.input.extend(data_inputs)
  output = traced.outputs[0].name
  image_input = traced.inputs[0].name

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
    (logits,) = tf.graph_util.import_graph_def(
      graph_def, input_map=feeds, return_elements=[output], name=""
    )
    return logits

  return tf.compat.v1.wrap_function(pure, [image_spec, keys.SPEC, *weight_specs])


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
