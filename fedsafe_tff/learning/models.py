"""Whatever model a TFF user has, as the functional model that every stage takes."""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.models import pure
from fedsafe_tff.models.functional import FunctionalModel, cross_entropy
from fedsafe_tff.models.keras_adapter import from_keras, from_passes, from_variables
from fedsafe_tff.models.logits import check_logits

_EXPECTED = (
  "a fedsafe_tff or tff.learning FunctionalModel, a Keras model, or a function without arguments "
  "that returns a Keras model or a tff.learning.models.VariableModel"
)


def as_functional_model(model: Any) -> FunctionalModel:
  """The functional model that `model` stands for.

  Weights that don't train stay those that the model has, and are no part of the state.

  Args:
    model: Ours or TFF's functional model, a Keras model with logits, or a function without
      arguments that makes a Keras model or a `tff.learning.models.VariableModel`. Dropout and other
      random layers are keyed, but for those of a functional model of TFF's, which has no key.

  Raises:
    TypeError: It is none of these.
    UserError: It has BatchNorm that trains, gives probabilities in the place of logits, or is a
      `VariableModel` whose `forward_pass` tells another loss than cross-entropy: that is within it
      and can't be followed.
  """
  made = _convert(model)
  check_logits(made)
  return made


def _convert(model: Any) -> FunctionalModel:
  if isinstance(model, FunctionalModel):
    return model
  if isinstance(model, tff.learning.models.FunctionalModel):
    return _from_tff(model)
  if not isinstance(model, tf.keras.Model) and callable(model):
    model = model()
  if isinstance(model, tff.learning.models.VariableModel):
    return _from_variable_model(model)
  if isinstance(model, tf.keras.Model):
    if not model.built or not isinstance(model.output_shape, tuple):
      raise TypeError("the Keras model must have one input of known shape, and one output")
    return from_keras(
      lambda *_: model,
      input_shape=tuple(model.input_shape[1:]),
      num_classes=model.output_shape[-1],
      name=model.name,
    )
  raise TypeError(f"expected {_EXPECTED}, found {type(model).__name__}")


def _image_and_label(input_spec: Any, name: str) -> tuple[tf.TensorSpec, tf.TensorSpec]:
  x, y = (input_spec["x"], input_spec["y"]) if isinstance(input_spec, Mapping) else input_spec
  tensors = isinstance(x, tf.TensorSpec) and isinstance(y, tf.TensorSpec)
  if not tensors or not x.dtype.is_floating:
    raise TypeError(f"{name} must take batches of one float tensor and one label, not {input_spec}")
  if x.shape.rank is None or None in x.shape[1:]:
    raise TypeError(f"{name} must take inputs of a known shape, not {x}")
  return x, y


def _from_tff(model: tff.learning.models.FunctionalModel) -> FunctionalModel:
  x, y = _image_and_label(model.input_spec, "the tff.learning FunctionalModel")
  trainable, frozen = (tuple(np.asarray(w) for w in part) for part in model.initial_weights)
  specs = [tf.TensorSpec(w.shape, w.dtype) for w in trainable]

  def forward(weights, images, training):
    return model.predict_on_batch((weights, frozen), images, training=training)

  def losses(logits, labels):
    labels = tf.reshape(tf.cast(labels, y.dtype), [-1, *y.shape[1:]])
    return model.loss(output=logits, label=labels)

  passes = {
    training: pure.from_tensors(
      functools.partial(forward, training=training), specs, x, "the tff.learning FunctionalModel"
    )
    for training in (False, True)
  }
  return from_passes(
    passes,
    trainable,
    input_shape=x.shape[1:],
    name="tff-functional",
    losses_fn=losses,
    input_spec=model.input_spec,
  )


def _from_variable_model(model: tff.learning.models.VariableModel) -> FunctionalModel:
  x, y = _image_and_label(model.input_spec, "the tff.learning model")
  made = from_variables(
    model.predict_on_batch,
    trainable=list(model.trainable_variables),
    frozen=list(model.non_trainable_variables),
    input_shape=tuple(x.shape[1:]),
    name="tff-model",
    input_spec=model.input_spec,
  )
  check_logits(made)  # its reason is the better one
  _check_loss(model, x, y, made.num_classes)
  return made


def _check_loss(model: Any, x: tf.TensorSpec, y: tf.TensorSpec, num_classes: int) -> None:
  count = x.shape[0] or y.shape[0] or 2 * num_classes
  shape = [count, *x.shape[1:]]
  images = np.random.default_rng(0).random(shape).astype(x.dtype.as_numpy_dtype)
  classes = np.arange(count) % num_classes
  try:
    labels = tf.reshape(tf.cast(classes, y.dtype), [count, *y.shape[1:]])
    given = tf.constant(images), labels
    if isinstance(model.input_spec, Mapping):
      given = type(model.input_spec)(zip(("x", "y"), given))
    told = float(model.forward_pass(given, training=False).loss)
    with contextlib.suppress(Exception):
      model.reset_metrics()
    logits = model.predict_on_batch(given["x"] if isinstance(given, Mapping) else given[0], False)
    ours = float(tf.reduce_mean(cross_entropy(logits, tf.constant(classes, tf.int32))))
  except Exception:  # one that only predicts, or takes labels of another kind, tells nothing
    return
  if not np.isclose(told, ours, rtol=1e-3, atol=1e-4):
    raise UserError(
      f"the tff.learning model's own loss is {told:.4g} where cross-entropy is {ours:.4g}, and "
      "what it is made of can't be told: give a tff.learning.models.FunctionalModel with that "
      "loss, or fedsafe_tff's with losses_fn"
    )
