"""A function of a model as one graph: traced once, its source as it is; users' own loops work."""

import inspect

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.models.keras_adapter import from_keras

MODEL = FunctionalModel(
  name="scaled",
  input_shape=(1, 1, 1),
  num_classes=2,
  init_fn=lambda key: (tf.ones([2]),),
  apply_fn=lambda w, x, key, training: tf.reshape(x, [-1, 1]) * w[0],
)


def test_a_form_is_traced_once_and_not_rewritten():
  files = []

  def doubled(weights, x):
    files.append(inspect.currentframe().f_code.co_filename)
    return 2.0 * MODEL.apply(weights, x)

  signature = [MODEL.weight_specs(), tf.TensorSpec([None, 1, 1, 1])]
  first = MODEL.compiled("doubled", doubled, signature)
  assert MODEL.compiled("doubled", doubled, signature) is first
  x = tf.fill([3, 1, 1, 1], 0.5)
  np.testing.assert_array_equal(first((tf.constant([1.0, 3.0]),), x), [[1.0, 3.0]] * 3)
  assert files == [__file__]  # AutoGraph's copy lies in a temporary file


class Halved(tf.keras.layers.Layer):
  """Python's `while` over a tensor, which AutoGraph alone makes a graph of."""

  def call(self, inputs):
    while tf.reduce_max(tf.abs(inputs)) > 1.0:
      inputs = inputs / 2.0
    return inputs


def test_a_users_layer_may_loop_over_tensors():
  def build(input_shape, num_classes):
    layers = tf.keras.layers
    last = layers.Dense(num_classes, kernel_initializer="ones")
    return tf.keras.Sequential([layers.Input(input_shape), Halved(), layers.Flatten(), last])

  model = from_keras(build, input_shape=(1, 1, 1), num_classes=2)
  weights, images = model.init(keys.root(0)), tf.fill([2, 1, 1, 1], 3.0)
  np.testing.assert_allclose(model.compiled_logits()(weights, images), [[0.75, 0.75]] * 2)
