"""The whole process: its stages put together, against TFF's own and against the pure functions."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import baselines
from fedsafe_tff.learning.clients import Shards, with_ids
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.training import schedules
from fedsafe_tff.training.adaptation import Adaptation
from fedsafe_tff.training.copies import Noise, noisy_copy
from fedsafe_tff.training.local import METRICS, local_update
from fedsafe_tff.training.upload import Upload
from tests import small
from tests.learning.processes import IDS, MODEL, SGD, build, build_anew, rounds, same, weights

STAGE = object()  # whatever it is, options that it leaves idle are told before


@pytest.fixture(scope="module")
def shard_store(tmp_path_factory):
  return small.store(tmp_path_factory.mktemp("shards"))


def keras_net():
  layers = tf.keras.layers
  return tf.keras.Sequential([
    layers.InputLayer(small.SHAPE), layers.Conv2D(4, 3, activation="relu"), layers.MaxPool2D(),
    layers.Flatten(), layers.Dense(2),
  ])


def loss():
  return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
  "kind, server", [("functional", "sgd"), ("keras", "sgd"), ("functional", "adam")]
)
def test_with_everything_off_it_is_tffs_fed_avg_bit_for_bit(runtime, kind, server):
  """Three rounds, the same data sets of batches; with Adam at the server it is FedAdam."""
  spec = small.batches(0).element_spec
  tf.keras.utils.set_random_seed(3)
  net = keras_net()
  values = net.get_weights()
  model = theirs = net
  if kind == "functional":
    model = theirs = tff.learning.models.functional_model_from_keras(net, loss(), spec)
  else:
    # TFF makes a new Keras model at each call, which gives up those that were made before.
    def theirs():
      return tff.learning.models.from_keras_model(keras_net(), loss=loss(), input_spec=spec)

  optimizer = tff.learning.optimizers.build_adam(0.01) if server == "adam" else None
  process = build_fed_safe(model, client_optimizer=SGD(0.1, 0.5), server_optimizer=optimizer)
  reference = tff.learning.algorithms.build_weighted_fed_avg(theirs, SGD(0.1, 0.5), optimizer)
  state = process.initialize()
  same(weights(state), values)
  other = reference.initialize()
  start = reference.get_model_weights(other)._replace(trainable=type(
    reference.get_model_weights(other).trainable)(values)) if kind == "keras" else None
  if start is not None:
    other = reference.set_model_weights(other, start)
  for _ in range(3):
    state, metrics = process.next(state, with_ids([small.batches(k) for k in IDS]))
    other, expected = reference.next(other, [small.batches(k) for k in IDS])
  same(weights(state), reference.get_model_weights(other).trainable)
  assert any((a != b).any() for a, b in zip(weights(state), values))
  assert metrics["client_work"]["train"]["num_examples"] == sum(small.SIZES)
  if kind == "keras":
    np.testing.assert_allclose(
      metrics["client_work"]["train"]["loss"], expected["client_work"]["train"]["loss"], rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["weights", "update"])
def test_on_shards_it_is_tffs_fed_avg_with_dropout_and_augmentation(runtime, shard_store, kind):
  """No defence, no noise; same batches, dropout masks and initial weights."""
  process = build(
    shard_store, epochs=2, augment=("flip", "rotate"), momentum=0.5, upload=Upload(kind)
  )
  state, metrics = rounds(runtime, process)
  clients = Shards(
    small.read_shards(shard_store), batch_size=8, epochs=2, augment=("flip", "rotate")
  )
  reference = baselines.build_baseline(
    "tff_fed_avg", MODEL, clients, learning_rate=0.05, momentum=0.5, num_clients=3, seed=5
  )
  theirs = runtime.call(reference.initialize)
  for index in range(2):
    arguments = [baselines.client_argument(k, index) for k in IDS]
    theirs, _ = runtime.call(reference.next, theirs, arguments)
  same(weights(state), reference.get_model_weights(theirs).trainable, atol=2e-5)
  table = metrics["client_work"]["clients"]
  np.testing.assert_array_equal(table["client"], IDS)
  np.testing.assert_array_equal(table["metrics"][:, 0], small.SIZES)


def test_a_round_is_equation_4_of_the_clients_work(runtime, shard_store):
  upload = Upload("weights", clip_norm=1.0, sigma=0.01)
  process = build(shard_store, upload=upload, weight_decay=0.1)
  before = runtime.call(process.initialize)
  after, _ = runtime.call(process.next, before, IDS)
  uploads = []
  clients = Shards(small.read_shards(shard_store), batch_size=8)
  for client in IDS:
    key = keys.fold(before.client_work["key"], 0, client)
    feed = clients.feed_of(tf.constant(client), key)
    noise_key = keys.fold(before.client_work["noise_key"], 0, client)
    uploads.append(
      local_update(
        MODEL, weights(before), feed, key, SGD(0.05), upload, noise_key=noise_key, weight_decay=0.1
      )[0]
    )
  shares = np.array(small.SIZES) / sum(small.SIZES)
  mean = [sum(p * w.numpy() for p, w in zip(shares, tensors)) for tensors in zip(*uploads)]
  same(weights(after), mean, atol=1e-5)


def test_same_seed_same_bits_and_noise_belongs_to_a_client_not_to_a_place(runtime, shard_store):
  noised = {"upload": Upload("weights", sigma=0.01)}
  first, _ = rounds(runtime, build(shard_store, **noised))
  process = build_anew(shard_store, **noised)
  again, _ = rounds(runtime, process)
  same(weights(first), weights(again))
  turned, _ = rounds(runtime, process, clients=[2, 0, 1])
  same(weights(first), weights(turned), atol=1e-5)  # sums in another order


def test_the_noise_has_a_seed_of_its_own(runtime, shard_store):
  """It alone decides about the noise, and it decides about nothing else."""
  noised = {"upload": Upload("weights", sigma=0.01)}
  state, metrics = rounds(runtime, build(shard_store, **noised), 1)
  other, told = rounds(runtime, build(shard_store, noise_seed=7, **noised), 1)
  assert all((a != b).all() for a, b in zip(weights(state), weights(other)))
  mine, theirs = (m["client_work"]["clients"]["metrics"] for m in (metrics, told))
  np.testing.assert_array_equal(mine[:, :5], theirs[:, :5])
  for stage in ("client_work", "finalizer"):
    np.testing.assert_array_equal(getattr(state, stage)["key"], getattr(other, stage)["key"])
  root = state.distributor["noise_key"]
  np.testing.assert_array_equal(root, keys.noise_root(6, 5))
  child = keys.fold(root, keys.UPLINK_NOISE)
  np.testing.assert_array_equal(state.client_work["noise_key"], child)
  # Without one it comes from the system's entropy.
  drawn = [
    runtime.call(build_anew(shard_store, noise_seed=None, **noised).initialize) for _ in range(2)
  ]
  for stage in ("distributor", "client_work"):
    first, second = (getattr(s, stage)["noise_key"] for s in drawn)
    assert (first != second).any()
  quiet = runtime.call(build(shard_store, noise_seed=None).initialize)
  np.testing.assert_array_equal(quiet.distributor["noise_key"], keys.noise_root(0, 5))


def test_distribution_uses_the_noise_key_and_the_last_round(runtime, shard_store):
  process = build(shard_store, copies=Noise(0.02))
  state, _ = rounds(runtime, process, 1)
  copies = runtime.call(process.distribute, state, IDS)
  noise_key = state.distributor["noise_key"]
  for client in IDS:
    expected = noisy_copy(weights(state), 0.02, noise_key, 1, client)
    same(copies[client].trainable, expected)
  found = [noise_key, state.client_work["key"], state.finalizer["key"]]
  assert len({tuple(key) for key in found}) == 3
  plain = build(shard_store)
  same(runtime.call(plain.distribute, state, IDS).trainable, weights(state))


def test_noise_in_rounds_reaches_the_training(runtime, shard_store):
  quiet, _ = rounds(runtime, build(shard_store), 1)
  process = build(shard_store, copies=Noise(0.05), copies_in_rounds=True)
  before = runtime.call(process.initialize)
  noisy, metrics = runtime.call(process.next, before, IDS)
  assert (weights(quiet)[0] != weights(noisy)[0]).any()
  # Each client starts from the copy that the server would draw for it.
  clients = Shards(small.read_shards(shard_store), batch_size=8)
  for client in IDS:
    key = keys.fold(before.client_work["key"], 0, client)
    copy = noisy_copy(weights(before), 0.05, before.distributor["noise_key"], 0, client)
    feed = clients.feed_of(tf.constant(client), key)
    _, told = local_update(MODEL, copy, feed, key, SGD(0.05), Upload("weights"))
    np.testing.assert_allclose(
      metrics["client_work"]["clients"]["metrics"][client], told, rtol=1e-4, atol=1e-5
    )


def test_a_clients_nan_stays_in_its_row(runtime, shard_store):
  process = build(shard_store, rate=1e30)
  _, metrics = rounds(runtime, process, 1, clients=[2, 0])
  table = metrics["client_work"]["clients"]
  np.testing.assert_array_equal(table["client"], [2, 0])
  assert not np.isfinite(table["metrics"][:, METRICS.index("norm")]).all()
  assert np.isfinite(table["metrics"][:, 0]).all()


def test_uploaded_weights_under_a_server_optimizer_are_stepped_towards(runtime, shard_store):
  start = runtime.call(build(shard_store).initialize)
  full, _ = rounds(runtime, build(shard_store), 1)
  half, _ = rounds(runtime, build(shard_store, server_optimizer=SGD(0.5)), 1)
  same(weights(half), [(a + b) / 2 for a, b in zip(weights(start), weights(full))], atol=1e-6)


def test_hyperparameters_and_weights_are_read_and_set_as_tffs(runtime, shard_store):
  process = build(shard_store, rate=0.05)
  state = runtime.call(process.initialize)
  hparams = process.get_hparams(state)
  assert hparams["client_work"]["optimizer"]["learning_rate"] == np.float32(0.05)
  hparams["client_work"]["optimizer"]["learning_rate"] = np.float32(0.0)
  frozen, _ = runtime.call(process.next, process.set_hparams(state, hparams), IDS)
  same(weights(frozen), weights(state), atol=1e-6)
  zeros = tff.learning.models.ModelWeights([np.zeros_like(w) for w in weights(state)], [])
  emptied = process.set_model_weights(state, zeros)
  same(process.get_model_weights(emptied).trainable, zeros.trainable)


def test_two_clients_of_one_identifier_end_the_round(runtime, shard_store):
  process = build(shard_store)
  state = runtime.call(process.initialize)
  with pytest.raises(Exception, match="two clients have the same identifier"):
    runtime.call(process.next, state, [0, 1, 0])


@pytest.mark.parametrize(
  "settings, error, match",
  [
    ({"client_optimizer": tf.keras.optimizers.SGD}, TypeError,
     "client_optimizer must be a tff.learning.optimizers.Optimizer.*found type"),
    ({"client_optimizer": None}, TypeError, "client_optimizer.*found NoneType"),
    ({"server_optimizer": 0.1}, TypeError, "server_optimizer.*found float"),
    ({"model_aggregator": tff.aggregators.SumFactory()}, TypeError,
     "WeightedAggregationFactory, found SumFactory"),
    ({"adaptation": Adaptation()}, UserError, "adaptation at the server lacks data"),
    ({"adaptation_data": small.images(3, 0)}, UserError, "lacks a way to adapt"),
    ({"adapt_when": schedules.every(1)}, UserError, "adapt_when has no effect without an adapt"),
    ({"client_optimizer": "sgd"}, TypeError, "client_optimizer.*found str"),
    ({"server_optimizer": tf.keras.optimizers.SGD()}, TypeError, "server_optimizer.*found SGD"),
    ({"adaptation": Adaptation(), "adaptation_data": (np.zeros([3, 8, 8, 1], np.uint8), [0] * 3)},
     UserError, r"shape \[3, 8, 8, 1\], but the model takes"),
    ({"copies_in_rounds": True}, UserError, "needs copies"),
    ({"copies": Noise(0.1), "downlink": "post"}, UserError, "select or map"),
    ({"distributor": STAGE, "copies": Noise(0.1)}, UserError, "copies has no effect beside a dist"),
    ({"client_work": STAGE}, UserError, "client_optimizer has no effect beside a client_work"),
    ({"client_work": STAGE, "client_optimizer": None, "gradient_clip": 1.0}, UserError,
     "gradient_clip has no effect"),
    ({"client_work": STAGE, "client_optimizer": None, "weight_decay": 0.1}, UserError,
     "weight_decay has no effect"),
    ({"client_work": STAGE, "client_optimizer": None, "upload": Upload("weights", sigma=0.1)},
     UserError, "upload has no effect"),
    ({"finalizer": STAGE, "server_optimizer": SGD(1.0)}, UserError, "server_optimizer has no eff"),
    ({"client_learning_rate_fn": 0.1}, TypeError, "must be a function of the round, found float"),
  ],
)
def test_what_cannot_be_built_is_told_at_once(settings, error, match):
  with pytest.raises(error, match=match):
    build_fed_safe(small.linear(), **({"client_optimizer": SGD(0.1)} | settings))


def test_data_of_another_shape_than_the_models_are_a_type_error(runtime):
  process = build_fed_safe(small.linear(), client_optimizer=SGD(0.1))
  wrong = tf.data.Dataset.from_tensors((np.zeros([4, 8, 8, 1], np.float32), np.zeros(4, np.int32)))
  state = runtime.call(process.initialize)
  with pytest.raises(TypeError, match="8,8,1"):
    runtime.call(process.next, state, with_ids([wrong]))
  with DeviceRuntime() as device, pytest.raises(TypeError, match="data set of.*16,16,1.*8,8,1"):
    device.call(process.next, state, with_ids([wrong]))


def test_uint8_images_train_as_floats_do(runtime):
  process = build_fed_safe(small.linear(), client_optimizer=SGD(0.1))
  state = runtime.call(process.initialize)
  x, y = small.images(8, 0)
  after = []
  for images in (x, x / np.float32(255)):
    batches = tf.data.Dataset.from_tensor_slices((images, y.astype(np.int32))).batch(4)
    after.append(weights(runtime.call(process.next, state, with_ids([batches])).state))
  same(*after)
  assert (after[0][0] != weights(state)[0]).any()
