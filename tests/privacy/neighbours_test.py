"""Neighbouring inputs, a client more or less, end no further apart than what the accountant claims.

The noise is taken out of TFF's aggregators, so that the sums themselves can be compared. What a
round hands on is made public by its noise: there both inputs go on from the same values. All other
state is left to each input, and what one client changed there would count in the rounds to come.
"""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.learning import aggregation, baselines
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.privacy import accounting
from fedsafe_tff.training.feeds import ImageFeed
from fedsafe_tff.training.local import local_update
from fedsafe_tff.training.upload import Upload
from tests import small

CLIENTS = 5
MULTIPLIER = 0.49  # just below what adaptive clipping can have with five clients
CLIP = 0.5
AGGREGATORS = ("central_dp", "adaptive_dp")
SGD = tff.learning.optimizers.build_sgdm


@pytest.fixture
def silent(monkeypatch):
  """TFF computations that are traced from now on draw zeros for the noise of their DP queries."""
  asked = []

  def without_noise(stddev):
    asked.append(stddev)
    return tf.zeros

  monkeypatch.setattr(tf, "random_normal_initializer", without_noise)
  yield
  assert asked  # else TFF draws its noise in another way, and the sums below are noised


def build(name, clients=CLIENTS):
  return aggregation.build_aggregator(
    name, clip_norm=CLIP, noise_multiplier=MULTIPLIER, clients_per_round=clients
  )


def dp_query(state):
  """The state of the DP query, wherever it stands: all of it follows from noised sums."""
  if hasattr(state, "query_state"):
    return state.query_state
  for part in state.values() if isinstance(state, dict) else state:
    if isinstance(part, (dict, tuple)) and (found := dp_query(part)) is not None:
      return found
  return None


def with_query(state, query):
  """The same state with another one's DP query."""
  if hasattr(state, "query_state"):
    return state._replace(query_state=query)
  if isinstance(state, dict):
    return type(state)((name, with_query(part, query)) for name, part in state.items())
  if isinstance(state, tuple):
    parts = [with_query(part, query) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
  return state


def clip_norm(state):
  """The norm to which the query clips in the next round: the claimed sensitivity of its sum."""
  query = dp_query(state).numerator_state
  return float(getattr(query, "sum_state", query).l2_norm_clip)


def distance(left, right):
  """L2 norm of the difference of two lists of arrays."""
  pairs = ((np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(left, right))
  return math.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs))


def uploads(round_index):
  """Five clients' uploads; the first one is the one that is changed."""
  rng = np.random.default_rng(round_index)
  others = rng.normal(size=(CLIENTS, 4)).astype(np.float32)
  # Above and below 10, from where on TFF would zero at first, then of sizes far apart.
  others *= np.array([0.01, 12.0, 0.3, 11.0, 30.0])[round_index]
  others[0] = np.array([1000.0, -1000.0, 0.001, 15.0, -1e6])[round_index]
  return [[row[:3], row[3:]] for row in others]


@pytest.mark.parametrize("name", AGGREGATORS)
def test_sums_differ_by_the_clipping_norm_at_most(runtime, silent, name):
  process = build(name).create(
    tff.to_type([tff.TensorType(np.float32, [3]), tff.TensorType(np.float32, [1])]),
    tff.TensorType(np.float32),
  )

  def step(state, values):
    weights = [np.float32(1.0)] * len(values)
    output = runtime.call(process.next, state, values, weights)
    return [CLIENTS * part for part in output.result], output.state

  all_of_them = without = runtime.call(process.initialize)
  norms, distances = [], []
  for index in range(5):
    values = uploads(index)
    norms.append(clip_norm(all_of_them))
    assert clip_norm(without) == norms[-1]
    left, all_of_them = step(all_of_them, values)
    right, without = step(without, values[1:])
    distances.append(distance(left, right) / norms[-1])
    if name == "adaptive_dp":
      # What the count of clipped uploads moves by: TFF claims a half.
      moved = math.log(clip_norm(all_of_them) / clip_norm(without))
      rate = dp_query(without).numerator_state.quantile_estimator_state.learning_rate
      assert abs(moved) * CLIENTS / rate <= 0.5 * 1.001
    without = with_query(without, dp_query(all_of_them))
  assert max(distances) <= 1.0 + 1e-5
  assert sum(d > 0.99 for d in distances) >= 3  # the changed client does reach the bound
  assert len(set(norms)) == (5 if name == "adaptive_dp" else 1)


@pytest.mark.parametrize("name", AGGREGATORS)
def test_tffs_own_ledger_is_what_the_accountant_counts(runtime, name):
  process = build(name).create(tff.TensorType(np.float32, [3]), tff.TensorType(np.float32))
  state = runtime.call(process.initialize)
  values, weights = [np.ones(3, np.float32)] * CLIENTS, [np.float32(1.0)] * CLIENTS
  for _ in range(2):
    state = runtime.call(process.next, state, values, weights).state
    event = state.dp_event
    multipliers = [float(e.noise_multiplier) for e in getattr(event, "events", [event])]
    # The noise that the query does add, over the sensitivities that the test above finds.
    query = dp_query(state).numerator_state
    total = getattr(query, "sum_state", query)
    found = [total.stddev / total.l2_norm_clip]
    if name == "adaptive_dp":
      count = query.quantile_estimator_state.below_estimate_state.numerator_state
      found.append(count.stddev / 0.5)
    np.testing.assert_allclose(multipliers, found, rtol=1e-6)
    together = sum(m**-2 for m in multipliers) ** -0.5  # as private as one of this multiplier
    assert together == pytest.approx(MULTIPLIER, rel=1e-5)
  claimed = accounting.central_epsilon(noise_multiplier=MULTIPLIER, rounds=2, delta=1e-5)
  ledger = accounting.gaussian_epsilon(together, 2, 1e-5)
  assert claimed == pytest.approx(ledger, rel=1e-4)


@pytest.mark.parametrize("upload", ["weights", "update"])
def test_an_upload_moves_by_twice_the_clipping_norm_at_most(upload):
  """The neighbours of the clients' own noise: one image with its label is another one."""
  images, labels = small.images(9, 0)
  moved = []
  for rate in (0.5, 20.0):
    uploads = []
    for used in (1, 9):  # of a client with one image, all changes
      for changed in (False, True):
        x, y = images[:used].copy(), labels[:used].copy()
        if changed:
          x[0], y[0] = 255 - x[0], 1 - y[0]
        feed = ImageFeed(tf.constant(x), tf.constant(y, tf.int32), keys.root(2), batch_size=4)
        start, optimizer = small.linear().init(keys.root(1)), SGD(rate)
        settings = Upload(upload, CLIP)
        uploads.append(
          local_update(small.linear(), start, feed, keys.root(2), optimizer, settings)[0]
        )
    moved += [distance(*uploads[:2]), distance(*uploads[2:])]
  assert max(moved) <= 2 * CLIP * (1 + 1e-5)
  assert max(moved) > CLIP  # C alone would be no bound


def rounds_of_ours(runtime, name, store):
  """From Algorithm 1: the first state, a round, and where its public values stand."""
  own_clip = CLIP * 0.1 if name == "central_dp" else 0.0  # as in a run: the client clips first
  process = build_fed_safe(
    small.linear(),
    client_optimizer=SGD(5.0),
    clients=Shards(small.read_shards(store), batch_size=8),
    upload=Upload("update", own_clip),
    model_aggregator=aggregation.build_aggregator(
      name, clip_norm=own_clip, noise_multiplier=0.2, clients_per_round=3
    ),
    seed=5,
  )
  return rounds_of(runtime, process, lambda client, round_index: client)


def rounds_of(runtime, process, argument):
  """The first state, a round, how its public values are handed on, and where they stand."""

  def step(state, clients, round_index):
    arguments = [argument(client, round_index) for client in clients]
    return runtime.call(process.next, state, arguments).state

  def publish(state, own):
    return own._replace(
      global_model_weights=state.global_model_weights,
      finalizer=state.finalizer,
      aggregator=with_query(own.aggregator, dp_query(state.aggregator)),
    )

  return (
    runtime.call(process.initialize),
    step,
    publish,
    lambda state: state.global_model_weights.trainable,
    lambda state: state.aggregator,
  )


def rounds_of_tff(runtime, name, store):
  """The same of TFF's DP-FedAvg."""
  del name
  process = baselines.build_baseline(
    "tff_dp_fed_avg",
    small.linear(),
    Shards(small.read_shards(store), batch_size=8),
    learning_rate=5.0,
    clip_norm=CLIP * 0.1,
    noise_multiplier=0.2,
    num_clients=3,
    seed=5,
  )

  return rounds_of(runtime, process, baselines.client_argument)


@pytest.mark.parametrize(
  "name, rounds",
  [
    ("central_dp", rounds_of_ours),
    ("adaptive_dp", rounds_of_ours),
    ("tff_dp_fed_avg", rounds_of_tff),
  ],
)
def test_whole_rounds_with_and_without_a_client(runtime, silent, tmp_path, name, rounds):
  store = small.store(tmp_path)
  first, step, publish, weights, aggregator = rounds(runtime, name, store)
  all_of_them = without = first
  reached = 0
  for index in range(3):
    before, norm = weights(all_of_them), clip_norm(aggregator(all_of_them))
    assert distance(before, weights(without)) == 0.0
    all_of_them = step(all_of_them, [0, 1, 2], index)
    without = step(without, [1, 2], index)
    moved = 3 * distance(weights(all_of_them), weights(without))  # of the sums of the updates
    assert moved <= norm * (1 + 1e-3)
    reached += moved > 0.9 * norm
    without = publish(all_of_them, without)
  assert reached == 3
