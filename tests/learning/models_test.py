import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.learning.models import as_functional_model
from tests import small
from tests.models import keras_nets

SPEC = small.batches(0).element_spec
X, Y = next(iter(small.batches(0)))


def loss():
  return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dropping():
  layers = tf.keras.layers
  return tf.keras.Sequential([
    layers.InputLayer(small.SHAPE), layers.Flatten(), layers.Dropout(0.5), layers.Dense(2),
  ])


def learning_model():
  return tff.learning.models.from_keras_model(
    keras_nets.groups(small.SHAPE, 2), loss=loss(), input_spec=SPEC
  )


def own_variable_model():
  """A model as TFF's tutorials write one by hand, with a `tf.function` inside."""

  class Linear(tff.learning.models.VariableModel):
    def __init__(self):
      self._kernel = tf.Variable(tf.fill([256, 2], 0.01), name="kernel")
      self._bias = tf.Variable([0.5, -0.5], name="bias")

    trainable_variables = property(lambda self: [self._kernel, self._bias])
    non_trainable_variables = local_variables = property(lambda self: [])
    input_spec = property(lambda self: SPEC)

    @tf.function
    def predict_on_batch(self, x, training=True):
      return tf.reshape(x, [-1, 256]) @ self._kernel + self._bias

    def forward_pass(self, batch_input, training=True):
      raise NotImplementedError

    def report_local_unfinalized_metrics(self):
      raise NotImplementedError

    def metric_finalizers(self):
      raise NotImplementedError

    def reset_metrics(self):
      raise NotImplementedError

  return Linear()


def functional():
  return tff.learning.models.functional_model_from_keras(dropping(), loss(), SPEC)


def test_a_variable_model_with_a_loss_that_is_not_followed_is_refused():
  class Weighted(tf.keras.losses.SparseCategoricalCrossentropy):
    def call(self, y_true, y_pred):
      return 3.0 * super().call(y_true, y_pred)

  def make():
    net, own = keras_nets.groups(small.SHAPE, 2), Weighted(from_logits=True)
    return tff.learning.models.from_keras_model(net, loss=own, input_spec=SPEC)

  with pytest.raises(UserError, match="own loss is [0-9.]+ where cross-entropy is.*FunctionalM"):
    as_functional_model(make)


def test_ours_stays_as_it_is():
  model = small.linear()
  assert as_functional_model(model) is model


@pytest.mark.parametrize(
  "make, classes",
  [(lambda: keras_nets.groups(small.SHAPE, 3), 3), (lambda: lambda: dropping(), 2),
   (lambda: learning_model, 2), (lambda: own_variable_model, 2), (functional, 2)],
)
def test_every_kind_becomes_a_function_of_its_weights(make, classes):
  model = as_functional_model(make())
  assert model.input_shape == small.SHAPE and model.num_classes == classes
  weights = model.init(keys.root(0))
  logits = model.apply(weights, X)
  assert logits.shape == (8, classes)
  with tf.GradientTape() as tape:
    tape.watch(weights)
    mean = tf.reduce_mean(model.losses(model.apply(weights, X), Y))
  gradients = tape.gradient(mean, weights)
  moved = tuple(w - 1e-4 * g for w, g in zip(weights, gradients))
  assert tf.reduce_mean(model.losses(model.apply(moved, X), Y)) < mean
  assert types.batch_type(model).is_equivalent_to(tff.types.tensorflow_to_type(SPEC))


def test_logits_are_those_of_the_model_itself():
  net = dropping()
  expected = net(X).numpy()
  adapted = as_functional_model(net)
  # TFF builds the model anew in a graph, after which the first one can't be called any more.
  functional = tff.learning.models.functional_model_from_keras(net, loss(), SPEC)
  for made in (adapted, as_functional_model(functional)):
    np.testing.assert_allclose(made.apply(made.init(keys.root(0)), X), expected, atol=1e-6)
  made = as_functional_model(own_variable_model)
  values = made.init(keys.root(0))
  np.testing.assert_allclose(
    made.apply(values, X), tf.reshape(X, [8, 256]) @ values[0] + values[1], atol=1e-6
  )


def test_dropout_of_tffs_functional_model_is_keyed_too():
  model = as_functional_model(functional())
  weights = model.init(keys.root(0))
  first, again, other = (
    model.apply(weights, X, seed=keys.root(k), training=True).numpy() for k in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).any() and (first != model.apply(weights, X).numpy()).any()


def test_a_loss_of_the_users_own_is_the_one_that_is_followed():
  @tf.function
  def predict(weights, x, training):
    return tf.reshape(x, [-1, 256]) @ weights[0][0]

  def squared(output, label, sample_weight=None):
    assert label.shape.rank == 2  # as the spec has it
    return tf.reduce_mean((output - tf.cast(label, tf.float32)) ** 2)

  model = as_functional_model(tff.learning.models.FunctionalModel(
    initial_weights=((np.full([256, 2], 0.01, np.float32),), ()), predict_on_batch_fn=predict,
    loss_fn=squared, input_spec=(SPEC[0], tf.TensorSpec([None, 1], tf.int64)),
  ))
  logits = tf.constant([[3.0, 1.0], [0.0, 2.0]])
  assert model.losses(logits, tf.constant([1, 0])).numpy() == (4 + 0 + 0 + 4) / 4


def softmax():
  layers = tf.keras.layers
  return tf.keras.Sequential([
    layers.InputLayer(small.SHAPE), layers.Flatten(), layers.Dense(2, activation="softmax"),
  ])


@pytest.mark.parametrize(
  "make, error, match",
  [
    (softmax, UserError, "ends in probabilities.*leave out the last softmax"),
    (lambda: tff.learning.models.functional_model_from_keras(softmax(), loss(), SPEC), UserError,
     "ends in probabilities"),
    (lambda: keras_nets.batch_norm(small.SHAPE, 2), UserError, "without BatchNorm"),
    (lambda: keras_nets.feature_map(small.SHAPE, 2), UserError, "logits are needed"),
    (lambda: "cnn", TypeError, "expected a fedsafe_tff or tff.learning.*found str"),
    (lambda: lambda: [1], TypeError, "found list"),
    (lambda: tf.keras.Sequential([tf.keras.layers.Dense(2)]), TypeError, "known shape"),
  ],
)
def test_what_is_no_model_or_cannot_be_used(make, error, match):
  with pytest.raises(error, match=match):
    as_functional_model(make())
