import random

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.models.keras_adapter import from_keras, seeded
from fedsafe_tff.training.local import local_update
from fedsafe_tff.training.upload import Upload
from tests import small
from tests.models import keras_nets


def adapt(build):
  return from_keras(build, input_shape=small.SHAPE, num_classes=2, name="own")


MODEL = adapt(keras_nets.groups)
IMAGES, LABELS = small.images(12, 0)
X, Y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)


@pytest.fixture(scope="module")
def own():
  """Keras's own model. Not made sooner: one that TFF builds in a graph ends those before it."""
  return keras_nets.groups(small.SHAPE, 2)


@pytest.fixture
def weights(own):
  """Weights that Keras's own model has too; none of them are at their initial values."""
  drawn = [
    tf.random.stateless_normal(spec.shape, [1, index], stddev=0.3)
    for index, spec in enumerate(MODEL.weight_specs())
  ]
  own.set_weights(drawn)
  return drawn


def loss(logits):
  return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits))


def test_logits_are_keras_own(own, weights):
  logits = MODEL.apply(weights, X)
  np.testing.assert_allclose(logits, own(X, training=False), atol=1e-5)
  # They depend on the weights that are passed, not on those that the Keras model holds.
  own.set_weights([tf.zeros_like(w) for w in weights])
  np.testing.assert_array_equal(MODEL.apply(weights, X), logits)


def test_gradients_are_keras_own(own, weights):
  with tf.GradientTape(persistent=True) as tape:
    tape.watch([X, *weights])
    ours = loss(MODEL.apply(weights, X))
    theirs = loss(own(X, training=False))
  for left, right in zip(
    tape.gradient(ours, [X, *weights]),
    tape.gradient(theirs, [X, *own.trainable_weights]),
    strict=True,
  ):
    assert np.abs(right).max() > 0
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_dropout_masks_are_keyed(weights):
  first, again, other = (
    MODEL.apply(weights, X, seed=keys.root(key), training=True).numpy() for key in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  traced = tf.function(lambda key: MODEL.apply(weights, X, seed=key, training=True))
  np.testing.assert_allclose(traced(keys.root(1)), first, atol=1e-5)
  np.testing.assert_array_equal(MODEL.apply(weights, X, seed=keys.root(1)), MODEL.apply(weights, X))


def test_dropout_is_unbiased(weights):
  count = 2000
  noisy = MODEL.apply(weights, tf.repeat(X[:1], count, 0), seed=keys.root(3), training=True).numpy()
  quiet = MODEL.apply(weights, X[:1])[0]
  assert (noisy.std(0) > 0).all()
  assert (np.abs(noisy.mean(0) - quiet) < 4 * noisy.std(0) / np.sqrt(count)).all()


def test_two_dropouts_have_masks_of_their_own():
  layers = tf.keras.layers
  model = tf.keras.Sequential([layers.Input((4, 4, 1)), layers.Flatten()])
  for _ in range(2):
    model.add(layers.Dropout(0.5))
  adapted = from_keras(lambda *_: model, input_shape=(4, 4, 1), num_classes=16)
  made = adapted.apply((), tf.ones([500, 4, 4, 1]), seed=keys.root(0), training=True).numpy()
  assert set(np.unique(made)) == {0.0, 4.0}
  assert abs((made > 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / made.size)


def test_gaussian_noise_is_keyed():
  layers = tf.keras.layers
  model = tf.keras.Sequential(
    [layers.Input((4, 4, 1)), layers.GaussianNoise(0.5), layers.Flatten()]
  )
  adapted = from_keras(lambda *_: model, input_shape=(4, 4, 1), num_classes=16)
  images = tf.zeros([500, 4, 4, 1])
  first, again = (
    adapted.apply((), images, seed=keys.root(0), training=True).numpy() for _ in range(2)
  )
  np.testing.assert_array_equal(first, again)
  assert abs(first.std() / 0.5 - 1) < 4 / np.sqrt(2 * first.size)


def test_initial_weights_are_those_of_keras_pretrained_or_drawn_from_the_seed():
  def build(*_):
    made = keras_nets.groups(small.SHAPE, 2)
    made.layers[-1].kernel.assign(tf.ones_like(made.layers[-1].kernel))  # "pretrained"
    return made

  models = []
  python, numpy_state = random.random(), np.random.get_state()[1].copy()
  random.seed(5)
  for seed in (1, 1, 2, 1 + 2**32, 2**63 - 1):
    with seeded(seed):
      models.append(adapt(build))
  assert random.random() == random.Random(5).random() and python != random.random()
  np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
  first, again, *others = (model.init(keys.root(0)) for model in models)
  for a, b in zip(first, again, strict=True):
    np.testing.assert_array_equal(a, b)
  kernels = [made[0].numpy().ravel() for made in (first, *others)]
  assert all(len(set(values)) == len(kernels) for values in zip(*kernels))
  np.testing.assert_array_equal(first[-2], np.ones_like(first[-2]))


def test_frozen_layers_are_constants(runtime):
  def build(*_):
    made = keras_nets.batch_norm(small.SHAPE, 2)
    made.layers[1].moving_mean.assign(tf.constant([0.1, 0.2, 0.3, 0.4]))
    made.layers[0].trainable = made.layers[1].trainable = False
    return made

  own = build()
  model = adapt(lambda *_: own)
  weights = model.init(keys.root(0))
  assert len(weights) == len(own.trainable_weights) == 2
  for training in (False, True):
    logits = model.apply(weights, X, seed=keys.root(1), training=training)
    np.testing.assert_allclose(logits, own(X, training=training), atol=1e-5)

  @tff.tensorflow.computation(model.weight_specs())
  def compute(values):
    return model.apply(values, tf.constant(X.numpy()))

  found = runtime.call(compute, [w.numpy() for w in weights])
  np.testing.assert_allclose(found, own(X, training=False), atol=1e-5)


def test_frozen_weights_can_be_put_back():
  models = [adapt(keras_nets.frozen_stem) for _ in range(2)]
  weights = models[0].init(keys.root(0))
  first, second = (model.apply(weights, X).numpy() for model in models)
  assert np.abs(first - second).max() > 1e-3
  kept = models[1].with_frozen([value for _, value in models[0].frozen])
  np.testing.assert_array_equal(kept.apply(weights, X), first)
  np.testing.assert_array_equal(models[1].apply(weights, X), second)  # that one stays as it was
  assert models[0].with_frozen([value for _, value in models[0].frozen]) is models[0]


@pytest.mark.parametrize(
  "build, match",
  [
    (keras_nets.batch_norm, "own.*moving_mean.*GroupNormalization"),
    (keras_nets.feature_map, r"own returns shape \(None, 14, 14, 2\).*\[n, 2\]"),
    (keras_nets.one_more, r"own returns shape \(None, 3\).*\[n, 2\]"),
    (keras_nets.other_size, "own can.t be applied to images of shape n.*None, 9, 9, 1"),
    (keras_nets.no_model, "own must return a Keras model, but returned list"),
  ],
)
def test_models_that_cannot_be_used_are_user_errors(build, match):
  with pytest.raises(UserError, match=match):
    adapt(build)


def test_inside_a_tff_computation(runtime, weights):
  @tff.tensorflow.computation(MODEL.weight_specs(), types.KEY)
  def compute(values, key):
    with tf.GradientTape() as tape:
      tape.watch(values)
      logits = MODEL.apply(values, tf.constant(X.numpy()), seed=key, training=True)
      value = tf.reduce_mean(logits**2)
    return value, tape.gradient(value, values)[0]

  values = [w.numpy() for w in weights]
  value, gradient = runtime.call(compute, values, keys.root(1).numpy())
  with tf.GradientTape() as tape:
    tape.watch(weights)
    expected = tf.reduce_mean(MODEL.apply(weights, X, seed=keys.root(1), training=True) ** 2)
  np.testing.assert_allclose(value, expected, atol=1e-5)
  np.testing.assert_allclose(gradient, tape.gradient(expected, weights)[0], atol=1e-5)


def test_a_round_of_the_algorithm(runtime, tmp_path):
  shards = Shards(small.read_shards(small.store(tmp_path)), batch_size=8)
  sgd, upload = tff.learning.optimizers.build_sgdm(0.05), Upload("weights")
  process = build_fed_safe(MODEL, client_optimizer=sgd, clients=shards, upload=upload, seed=5)
  before = runtime.call(process.initialize)
  after, metrics = runtime.call(process.next, before, [0, 1, 2])
  assert np.isfinite(metrics["client_work"]["clients"]["metrics"]).all()
  start = before.global_model_weights.trainable
  uploads = []
  for client in range(3):
    key = keys.fold(before.client_work["key"], 0, client)
    feed = shards.feed_of(tf.constant(client), key)
    uploads.append(local_update(MODEL, start, feed, key, sgd, upload)[0])
  shares = np.array(small.SIZES) / sum(small.SIZES)
  for new, old, *copies in zip(after.global_model_weights.trainable, start, *uploads, strict=True):
    expected = sum(share * copy.numpy() for share, copy in zip(shares, copies))
    np.testing.assert_allclose(new, expected, atol=1e-5)
    assert (new != old).any()
