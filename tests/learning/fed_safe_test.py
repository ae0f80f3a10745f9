"""The whole process: its stages put together, against TFF's own and against the pure functions."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.data.shard_reader import read_named
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import baselines
from fedsafe_tff.learning.adaptation import build_adapting_finalizer, build_replacing_finalizer
from fedsafe_tff.learning.aggregation import build_aggregator
from fedsafe_tff.learning.client_work import build_client_work
from fedsafe_tff.learning.clients import Shards, with_ids
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.learning.types import weights_type
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.training import iterated, schedules
from fedsafe_tff.training.adaptation import Adaptation, adapt
from fedsafe_tff.training.copies import Noise, noisy_copy
from fedsafe_tff.training.local import METRICS, local_update
from fedsafe_tff.training.steps import training_gradient
from fedsafe_tff.training.upload import Upload
from tests import small

MODEL = small.net()
SGD = tff.learning.optimizers.build_sgdm
IDS = [0, 1, 2]
STAGE = object()  # whatever it is, options that it leaves idle are told before


@pytest.fixture(scope="module")
def shard_store(tmp_path_factory):
  return small.store(tmp_path_factory.mktemp("shards"))


_built = {}


def build(shard_store, **settings):
  """A process on the shards; one of the same settings, which takes seconds to build, is shared."""
  name = repr((shard_store.directory, sorted(settings.items())))
  if name not in _built:
    _built[name] = build_anew(shard_store, **settings)
  return _built[name]


def build_anew(shard_store, *, epochs=1, augment=(), rate=0.05, momentum=None, **settings):
  clients = Shards(small.read_shards(shard_store), batch_size=8, epochs=epochs, augment=augment)
  return build_fed_safe(
    MODEL, client_optimizer=SGD(rate, momentum), clients=clients, seed=5,
    **({"upload": Upload("weights"), "noise_seed": 6} | settings),
  )


def rounds(runtime, process, count=2, clients=IDS):
  state, metrics = runtime.call(process.initialize), None
  for _ in range(count):
    state, metrics = runtime.call(process.next, state, clients)
  return state, metrics


def weights(state):
  return state.global_model_weights.trainable


def same(left, right, **tolerance):
  for a, b in zip(left, right, strict=True):
    if tolerance:
      np.testing.assert_allclose(a, b, **tolerance)
    else:
      np.testing.assert_array_equal(a, b)


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
  process = build(shard_store, upload=upload)
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
        MODEL, weights(before), feed, key, SGD(0.05), upload, noise_key=noise_key
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


def adapting(shard_store, **changes):
  settings = Adaptation(**({"eps": 0.05, "steps": 2, "epochs": 2, "batch_size": 8} | changes))
  return {
    "adaptation": settings,
    "adaptation_data": lambda: read_named(shard_store.directory, "adaptation", small.SHAPE),
  }


def test_adaptation_in_a_round_is_the_pure_function(runtime, shard_store):
  parts = adapting(shard_store)
  plain, metrics = rounds(runtime, build(shard_store), 2)
  assert not metrics["finalizer"]["adaptation"]["adapted"]
  process = build(shard_store, adapt_when=schedules.every(2), **parts)
  first, metrics = rounds(runtime, process, 1)
  assert not metrics["finalizer"]["adaptation"]["metrics"].any()
  assert process.get_hparams(first)["finalizer"]["adapt"]  # the next round adapts
  adapted, metrics = runtime.call(process.next, first, IDS)
  images, labels = read_named(shard_store.directory, "adaptation", small.SHAPE)
  key = keys.fold(plain.finalizer["key"], keys.ADAPTATION, 1)
  expected, values = adapt(MODEL, weights(plain), images, labels, key, parts["adaptation"])
  same(weights(adapted), expected, atol=1e-5)
  measured = metrics["finalizer"]["adaptation"]
  assert measured["adapted"]
  np.testing.assert_allclose(measured["metrics"], values, atol=1e-4)


@pytest.mark.parametrize(
  "examples",
  ["once", *(pytest.param(name, marks=pytest.mark.slow) for name in ("each_epoch", "iterated"))],
)
def test_adapting_after_the_last_round_gives_the_bits_of_adapting_in_it(
  runtime, shard_store, examples
):
  parts = adapting(shard_store, share=0.6, examples=examples, passes=2)
  inside = build(shard_store, adapt_when=schedules.every(2), copies=Noise(0.01), **parts)
  expected, metrics = rounds(runtime, inside, 2)
  # The training knows of no adaptation: that is what a cache of trainings holds.
  trained, _ = rounds(runtime, build(shard_store), 2)
  adapted, told = runtime.call(inside.adapt, trained)
  assert any((a != b).any() for a, b in zip(weights(trained), weights(adapted)))
  same(weights(adapted), weights(expected))
  np.testing.assert_array_equal(
    told["metrics"], metrics["finalizer"]["adaptation"]["metrics"]
  )
  if examples == "iterated":
    passes = parts["adaptation"].begin(weights(trained), small.SHAPE)._asdict()
    while not iterated.is_over(iterated.Carried(**passes)):
      passes = dict(runtime.call(inside.adapt_pass, trained, collections.OrderedDict(passes)))
    for left, right in zip(passes["weights"], weights(adapted)):
      np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(passes["table"], told["passes"])
    np.testing.assert_array_equal(passes["metrics"], told["metrics"])
  else:
    assert inside.adapt_pass is None
  for stage, key in (
    ("distributor", "noise_key"), ("client_work", "key"), ("client_work", "noise_key"),
    ("finalizer", "key"),
  ):
    left, right = getattr(adapted, stage), getattr(expected, stage)
    assert left["round"] == right["round"] == 2
    np.testing.assert_array_equal(left[key], right[key])
  mine = runtime.call(inside.distribute, adapted, IDS)
  theirs = runtime.call(inside.distribute, expected, IDS)
  for client in IDS:
    same(mine[client].trainable, theirs[client].trainable)


def test_an_adaptation_of_ones_own_is_called_and_not_taken_for_its_passes(shard_store):
  class Mine(Adaptation):
    def __call__(self, *arguments):
      return super().__call__(*arguments)

  settings = {"steps": 1, "epochs": 1, "examples": "iterated", "passes": 2}
  for kind, made in ((Mine, False), (Adaptation, True)):
    parts = adapting(shard_store) | {"adaptation": kind(**settings)}
    finalizer = build_adapting_finalizer(
      build_replacing_finalizer(weights_type(MODEL)), MODEL, parts["adaptation"],
      parts["adaptation_data"],
    )  # fmt: skip
    assert (finalizer.adapt_pass is not None) == made and finalizer.adapt is not None


def test_a_clients_nan_stays_in_its_row(runtime, shard_store):
  process = build(shard_store, rate=1e30)
  _, metrics = rounds(runtime, process, 1, clients=[2, 0])
  table = metrics["client_work"]["clients"]
  np.testing.assert_array_equal(table["client"], [2, 0])
  assert not np.isfinite(table["metrics"][:, METRICS.index("norm")]).all()
  assert np.isfinite(table["metrics"][:, 0]).all()


@pytest.fixture(scope="module")
def mean(runtime, shard_store):
  """The state after a round of updates that are averaged."""
  return rounds(runtime, build(shard_store, upload=Upload()), 1)[0]


@pytest.mark.parametrize(
  "name",
  ["central_dp", "adaptive_dp"]
  + [pytest.param(name, marks=pytest.mark.slow) for name in ("robust", "secure_sum")],
)
def test_tffs_aggregators_take_the_place_of_the_mean(runtime, shard_store, mean, name):
  """What they do is in aggregation_test; here, that the round works with them."""
  aggregator = build_aggregator(
    name, clip_norm=1.0, noise_multiplier=1e-4, clients_per_round=3
  )
  process = build(shard_store, upload=Upload(), model_aggregator=aggregator)
  state, _ = rounds(runtime, process, 1)
  start = runtime.call(process.initialize)
  moved, along = (
    np.concatenate([np.ravel(w - o) for w, o in zip(weights(s), weights(start))])
    for s in (mean, state)
  )
  assert np.isfinite(along).all()
  assert along @ moved > 0.5 * np.linalg.norm(along) * np.linalg.norm(moved)


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


def test_a_stage_of_tffs_in_the_place_of_ours(runtime, shard_store):
  from fedsafe_tff.learning import types

  broadcast = tff.learning.templates.build_broadcast_process(types.weights_type(MODEL))
  identity = tff.learning.templates.finalizers.build_identity_finalizer(
    types.weights_type(MODEL), types.weights_type(MODEL).trainable
  )
  process = build(shard_store, distributor=broadcast, finalizer=identity)
  state, _ = rounds(runtime, process, 1)
  same(weights(state), weights(runtime.call(process.initialize)))
  assert process.adapt is None
  same(runtime.call(process.distribute, state, IDS).trainable, weights(state))


def test_stages_of_ours_built_by_themselves_are_those_that_are_built_in(runtime, shard_store):
  clients = Shards(small.read_shards(shard_store), batch_size=8)
  upload = Upload("weights", sigma=0.01)
  work = build_client_work(
    MODEL, SGD(0.05), clients=clients, upload=upload, seed=5, noise_seed=6
  )
  process = build_fed_safe(
    MODEL, client_work=work, clients=clients, upload=Upload("weights"), seed=5
  )
  mine, _ = rounds(runtime, process, 1)
  expected, _ = rounds(runtime, build(shard_store, upload=upload), 1)
  same(weights(mine), weights(expected))


def test_parts_may_be_functions(runtime, shard_store):
  def halved(model, values, x, y, *, key, step, attack_eps):
    logits, losses, gradients = training_gradient(model, values, x, y, key)
    return logits, losses, [0.5 * g for g in gradients]

  model = small.linear()

  def moved(rate, **parts):
    process = build_fed_safe(
      model, client_optimizer=SGD(rate), clients=Shards(small.read_shards(shard_store)), **parts
    )
    before = runtime.call(process.initialize)
    after, _ = runtime.call(process.next, before, IDS)
    return process, after, [a - b for a, b in zip(weights(after), weights(before))]

  process, state, half = moved(0.1, gradient=halved, copies=lambda w, key: [2.0 * t for t in w])
  same(half, moved(0.05)[2], atol=1e-6)
  copies = runtime.call(process.distribute, state, IDS)
  same(copies[1].trainable, [2.0 * w for w in weights(state)])


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
