import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import adaptation, aggregation, algorithm, baselines, client_work, keys
from fedsafe_tff.distribution import noisy_copy
from tests import small

MODEL = small.model()


@pytest.fixture(scope="module")
def shard_store(tmp_path_factory):
  return small.store(tmp_path_factory.mktemp("shards"))


def build(shard_store, aggregator="mean", settings=None, **keywords):
  work = client_work.ClientWork(**({"batch_size": 8} | (settings or {})))
  return algorithm.build_fedsafe(
    MODEL,
    shard_dir=shard_store.directory,
    num_clients=3,
    work=work,
    aggregator=aggregation.build_aggregator(
      aggregator, clip_norm=1.0, noise_multiplier=1e-4, clients_per_round=3
    ),
    server_images=shard_store.sizes["adaptation"],
    **{"seed": 5, "noise_seed": 6} | keywords,
  )


def rounds(runtime, computations, count=2, adapt=False, clients=(0, 1, 2)):
  state = runtime.call(computations.initialize)
  for _ in range(count):
    control = algorithm.control(adapt=adapt, learning_rate=0.05)
    state, metrics = runtime.call(computations.next, state, control, list(clients))
  return state, metrics


def same(left, right, **tolerance):
  for a, b in zip(left, right, strict=True):
    if tolerance:
      np.testing.assert_allclose(a, b, **tolerance)
    else:
      np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("upload", ["weights", "update"])
def test_our_stages_are_tffs_weighted_fed_avg(runtime, shard_store, upload):
  """No defence, no noise; same batches, dropout masks and initial weights."""
  settings = {"augment": ("flip", "rotate"), "epochs": 2, "upload": upload, "momentum": 0.5}
  state, metrics = rounds(runtime, build(shard_store, settings=settings))
  process = baselines.build_baseline(
    "tff_fed_avg", MODEL, shard_dir=shard_store.directory, epochs=2, batch_size=8,
    learning_rate=0.05, momentum=0.5, augment=("flip", "rotate"), num_clients=3, seed=5,
  )
  theirs = runtime.call(process.initialize)
  for index in range(2):
    clients = [baselines.client_argument(k, index) for k in range(3)]
    output = runtime.call(process.next, theirs, clients)
    theirs = output.state
  same(state["weights"], process.get_model_weights(theirs).trainable, atol=2e-5)
  assert output.metrics["client_work"]["train"]["num_examples"] == 2 * sum(small.SIZES)
  np.testing.assert_array_equal(metrics["clients"][:, 0], small.SIZES)


def test_a_round_is_equation_4_of_the_clients_work(runtime, shard_store):
  computations = build(shard_store, settings={"clip_norm": 1.0, "uplink_sigma": 0.01})
  before = runtime.call(computations.initialize)
  after, _ = runtime.call(
    computations.next, before, algorithm.control(adapt=False, learning_rate=0.05), [0, 1, 2]
  )
  from fedsafe_tff.data.shard_reader import read_client

  work = client_work.ClientWork(batch_size=8, clip_norm=1.0, uplink_sigma=0.01)
  uploads = []
  for client in range(3):
    images, labels = read_client(shard_store.directory, client, small.SHAPE)
    key = keys.fold(before["client_key"], 0, client)
    uploads.append(
      client_work.local_update(
        MODEL, before["weights"], images, labels, key, work, learning_rate=0.05,
        noise_key=keys.fold(before["noise_key"], keys.UPLINK_NOISE, 0, client),
      )[0]
    )
  shares = np.array(small.SIZES) / sum(small.SIZES)
  mean = [sum(p * w.numpy() for p, w in zip(shares, tensors)) for tensors in zip(*uploads)]
  same(after["weights"], mean, atol=1e-5)


def test_same_seed_same_bits_and_noise_belongs_to_a_client_not_to_a_place(runtime, shard_store):
  first, _ = rounds(runtime, build(shard_store, settings={"uplink_sigma": 0.01}))
  again, _ = rounds(runtime, build(shard_store, settings={"uplink_sigma": 0.01}))
  same(first["weights"], again["weights"])
  computations = build(shard_store, settings={"uplink_sigma": 0.01})
  turned, _ = rounds(runtime, computations, clients=(2, 0, 1))
  same(first["weights"], turned["weights"], atol=1e-5)  # sums in another order


def test_the_noise_has_a_seed_of_its_own(runtime, shard_store):
  """It alone decides about the noise, and it decides about nothing else."""
  settings = {"uplink_sigma": 0.01}
  state, metrics = rounds(runtime, build(shard_store, settings=settings), 1)
  other, told = rounds(runtime, build(shard_store, settings=settings, noise_seed=7), 1)
  assert all((a != b).all() for a, b in zip(state["weights"], other["weights"]))
  np.testing.assert_array_equal(metrics["clients"][:, :5], told["clients"][:, :5])
  for name in ("server_key", "client_key"):
    np.testing.assert_array_equal(state[name], other[name])
  # Without one it comes from the system's entropy.
  drawn = [
    runtime.call(build(shard_store, settings=settings, noise_seed=None).initialize)["noise_key"]
    for _ in range(2)
  ]
  assert (drawn[0] != drawn[1]).any()
  quiet = runtime.call(build(shard_store, noise_seed=None).initialize)
  np.testing.assert_array_equal(quiet["noise_key"], keys.noise_root(0, 5))


def test_distribution_uses_the_noise_key_and_the_last_round(runtime, shard_store):
  computations = build(shard_store, final_sigma=0.02)
  state, _ = rounds(runtime, computations, 1)
  copies = runtime.call(computations.distribute, state, [0, 1, 2])
  for client in range(3):
    expected = noisy_copy(state["weights"], 0.02, state["noise_key"], 1, client)
    same(copies[client], expected)
  assert len({tuple(state[name]) for name in ("server_key", "client_key", "noise_key")}) == 3


def test_round_noise_reaches_the_training(runtime, shard_store):
  quiet, _ = rounds(runtime, build(shard_store), 1)
  noisy, _ = rounds(runtime, build(shard_store, round_sigma=0.05), 1)
  mapped, _ = rounds(runtime, build(shard_store, round_sigma=0.05, downlink="map"), 1)
  assert (quiet["weights"][0] != noisy["weights"][0]).any()
  same(noisy["weights"], mapped["weights"])


def test_adaptation_inside_tff_is_the_pure_function(runtime, shard_store):
  from fedsafe_tff.data.shard_reader import read_named

  settings = adaptation.Adaptation(eps=0.05, steps=2, epochs=2, batch_size=8)
  computations = build(shard_store, adaptation=settings)
  plain, metrics = rounds(runtime, computations, 1)
  assert not metrics["adaptation"].any()
  adapted, metrics = rounds(runtime, computations, 1, adapt=True)
  images, labels = read_named(shard_store.directory, "adaptation", small.SHAPE)
  key = keys.fold(plain["server_key"], keys.ADAPTATION, 0)
  expected, values = adaptation.adapt(MODEL, plain["weights"], images, labels, key, settings)
  same(adapted["weights"], expected, atol=1e-5)
  np.testing.assert_allclose(metrics["adaptation"], values, atol=1e-4)


@pytest.mark.parametrize("each_epoch", [False, True])
def test_adapting_after_the_last_round_gives_the_bits_of_adapting_in_it(
  runtime, shard_store, each_epoch
):
  settings = adaptation.Adaptation(
    eps=0.05, steps=2, epochs=2, batch_size=8, share=0.6, each_epoch=each_epoch
  )
  inside = build(shard_store, adaptation=settings, final_sigma=0.01)
  state, _ = rounds(runtime, inside, 1)
  control = algorithm.control(adapt=True, learning_rate=0.05)
  expected, metrics = runtime.call(inside.next, state, control, [0, 1, 2])
  # The training knows of no adaptation: that is what a cache of trainings holds.
  trained, _ = rounds(runtime, build(shard_store), 2)
  adapted, values = runtime.call(inside.adapt, trained)
  assert any((a != b).any() for a, b in zip(trained["weights"], adapted["weights"]))
  same(adapted["weights"], expected["weights"])
  np.testing.assert_array_equal(values, metrics["adaptation"])
  assert adapted["round"] == expected["round"] == 2
  for name in ("server_key", "client_key", "noise_key"):
    np.testing.assert_array_equal(adapted[name], expected[name])
  mine = runtime.call(inside.distribute, adapted, [0, 1, 2])
  theirs = runtime.call(inside.distribute, expected, [0, 1, 2])
  for client in range(3):
    same(mine[client], theirs[client])


def test_without_adaptation_there_is_nothing_to_adapt(shard_store):
  assert build(shard_store).adapt is None


def test_a_clients_nan_stays_in_its_row(runtime, shard_store):
  computations = build(shard_store)
  state = runtime.call(computations.initialize)
  control = algorithm.control(adapt=False, learning_rate=1e30)
  _, metrics = runtime.call(computations.next, state, control, [0, 2])
  losses = metrics["clients"][:, 1]
  assert not np.isfinite(losses[[0, 2]]).all() and losses[1] == 0


@pytest.mark.parametrize("name", ["robust", "central_dp", "secure_sum", "adaptive_dp"])
def test_tffs_aggregators_take_the_place_of_the_mean(runtime, shard_store, name):
  """What they do is in aggregation_test; here, that the round works with them."""
  state, _ = rounds(runtime, build(shard_store, name, settings={"upload": "update"}), 1)
  mean, _ = rounds(runtime, build(shard_store, settings={"upload": "update"}), 1)
  start = runtime.call(build(shard_store).initialize)
  moved, along = (
    np.concatenate([np.ravel(w - o) for w, o in zip(s["weights"], start["weights"])])
    for s in (mean, state)
  )
  assert np.isfinite(along).all()
  assert along @ moved > 0.5 * np.linalg.norm(along) * np.linalg.norm(moved)


@pytest.mark.parametrize("name", ["tff_fed_prox", "tff_dp_fed_avg"])
def test_other_baselines_run_and_move(runtime, shard_store, name):
  process = baselines.build_baseline(
    name, MODEL, shard_dir=shard_store.directory, epochs=1, batch_size=8, learning_rate=0.05,
    prox_mu=0.1, clip_norm=1.0, noise_multiplier=0.1, num_clients=3,
  )
  state = runtime.call(process.initialize)
  output = runtime.call(process.next, state, [baselines.client_argument(k, 0) for k in range(3)])
  before = process.get_model_weights(state).trainable
  after = process.get_model_weights(output.state).trainable
  assert any((a != b).any() for a, b in zip(before, after))


def test_fed_prox_is_fed_avg_that_stays_closer_to_its_start(runtime, shard_store):
  def after(name, **settings):
    process = baselines.build_baseline(
      name, MODEL, shard_dir=shard_store.directory, epochs=3, batch_size=8, learning_rate=0.05,
      num_clients=3, **settings,
    )
    state = runtime.call(process.initialize)
    output = runtime.call(process.next, state, [baselines.client_argument(k, 0) for k in range(3)])
    before, after = (process.get_model_weights(s).trainable for s in (state, output.state))
    return np.concatenate([np.ravel(a - b) for a, b in zip(after, before)])

  plain = after("tff_fed_avg")
  np.testing.assert_allclose(after("tff_fed_prox", prox_mu=0.0), plain, atol=1e-5)
  held = np.linalg.norm(after("tff_fed_prox", prox_mu=5.0))
  assert 0 < held < 0.8 * np.linalg.norm(plain)


def test_the_proximal_term_by_hand(runtime, shard_store):
  """One client, full batches: w <- w - rate (g + mu (w - w_0)), three times."""
  from fedsafe_tff.data.shard_reader import read_client

  model = small.model(dropout=0.0)
  process = baselines.build_baseline(
    "tff_fed_prox", model, shard_dir=shard_store.directory, epochs=3, batch_size=100,
    learning_rate=0.05, prox_mu=2.0, num_clients=1,
  )
  state = runtime.call(process.initialize)
  start = [tf.constant(w) for w in process.get_model_weights(state).trainable]
  output = runtime.call(process.next, state, [baselines.client_argument(1, 0)])
  images, labels = read_client(shard_store.directory, 1, small.SHAPE)
  x = tf.cast(images, tf.float32) / 255.0
  weights = list(start)
  for _ in range(3):
    with tf.GradientTape() as tape:
      tape.watch(weights)
      loss = tf.reduce_mean(client_work.cross_entropy(model.apply(weights, x), labels))
    gradients = tape.gradient(loss, weights)
    weights = [w - 0.05 * (g + 2.0 * (w - s)) for w, g, s in zip(weights, gradients, start)]
  same(process.get_model_weights(output.state).trainable, weights, atol=1e-5)
