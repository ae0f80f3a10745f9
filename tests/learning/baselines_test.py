import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import baselines
from fedsafe_tff.learning.clients import Shards
from tests import small

MODEL = small.net(dropout=0.0)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
  return small.read_shards(small.store(tmp_path_factory.mktemp("shards")))


def build(read, name, model=MODEL, epochs=1, batch_size=8, **settings):
  shards = Shards(read, batch_size=batch_size, epochs=epochs)
  return baselines.build_baseline(
    name, model, shards, learning_rate=0.05, num_clients=3, **settings
  )


def moved(runtime, process, clients=(0, 1, 2), rounds=1):
  state = start = runtime.call(process.initialize)
  for index in range(rounds):
    arguments = [baselines.client_argument(k, index) for k in clients]
    state, _ = runtime.call(process.next, state, arguments)
  before, after = (process.get_model_weights(s).trainable for s in (start, state))
  return np.concatenate([np.ravel(a - b) for a, b in zip(after, before)])


@pytest.fixture(scope="module")
def fed_avg(runtime, read):
  """How FedAvg moves in a round of three epochs."""
  return moved(runtime, build(read, "tff_fed_avg", epochs=3))


@pytest.mark.parametrize(
  "name, settings", [("tff_dp_fed_avg", {"clip_norm": 1.0, "noise_multiplier": 0.1}),
                     ("tff_mime_lite", {"momentum": 0.9})]
)
def test_other_baselines_run_and_move(runtime, read, name, settings):
  assert moved(runtime, build(read, name, **settings), rounds=2).any()


def test_mime_lite_without_momentum_is_fed_avg(runtime, read, fed_avg):
  np.testing.assert_allclose(
    moved(runtime, build(read, "tff_mime_lite", epochs=3)), fed_avg, atol=1e-5
  )


def test_fed_prox_is_fed_avg_that_stays_closer_to_its_start(runtime, read, fed_avg):
  loose = moved(runtime, build(read, "tff_fed_prox", epochs=3, prox_mu=0.0))
  np.testing.assert_allclose(loose, fed_avg, atol=1e-5)
  held = np.linalg.norm(moved(runtime, build(read, "tff_fed_prox", epochs=3, prox_mu=5.0)))
  assert 0 < held < 0.8 * np.linalg.norm(fed_avg)


def test_a_server_optimizer_makes_fed_adam_of_fed_avg(runtime, read, fed_avg):
  adam = tff.learning.optimizers.build_adam(0.01)
  step = moved(runtime, build(read, "tff_fed_avg", epochs=3, server_optimizer=adam))
  large = np.abs(fed_avg) > 1e-3
  np.testing.assert_allclose(np.abs(step[large]), 0.01, rtol=0.02)
  np.testing.assert_array_equal(np.sign(step[large]), np.sign(fed_avg[large]))


def test_the_proximal_term_by_hand(runtime, read):
  """One client, full batches: w <- w - rate (g + mu (w - w_0)), three times."""
  process = build(read, "tff_fed_prox", epochs=3, batch_size=100, prox_mu=2.0)
  state = runtime.call(process.initialize)
  start = [tf.constant(w) for w in process.get_model_weights(state).trainable]
  output = runtime.call(process.next, state, [baselines.client_argument(1, 0)])
  images, labels = read(tf.constant(1))
  x = tf.cast(images, tf.float32) / 255.0
  weights = list(start)
  for _ in range(3):
    with tf.GradientTape() as tape:
      tape.watch(weights)
      loss = tf.reduce_mean(MODEL.losses(MODEL.apply(weights, x), labels))
    gradients = tape.gradient(loss, weights)
    weights = [w - 0.05 * (g + 2.0 * (w - s)) for w, g, s in zip(weights, gradients, start)]
  for left, right in zip(process.get_model_weights(output.state).trainable, weights):
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_an_unknown_baseline(read):
  with pytest.raises(UserError, match="baseline fed_sgd is unknown"):
    build(read, "fed_sgd")
