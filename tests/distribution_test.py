import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.distribution import KEY_TYPE, build_distribution, noisy_copy

SIGMA = 0.05
WEIGHTS = [np.zeros([60, 70], np.float32), np.ones([900], np.float32)]
TYPE = tff.to_type([tff.TensorType(w.dtype.type, w.shape) for w in WEIGHTS])
STATE = tff.StructType([
  ("weights", TYPE), ("round", tff.TensorType(np.int32)), ("key", KEY_TYPE)
])


def flat(weights):
  return np.concatenate([np.ravel(w) for w in weights])


def noise(round_number, client, seed=0):
  made = noisy_copy(WEIGHTS, SIGMA, keys.root(seed), round_number, client)
  return flat(made) - flat(WEIGHTS)


def test_moments():
  values = np.concatenate([noise(0, k) for k in range(10)])
  count = len(values)
  assert abs(values.mean()) < 4 * SIGMA / np.sqrt(count)
  assert abs(values.std() / SIGMA - 1) < 4 / np.sqrt(2 * count)
  kurtosis = ((values / values.std()) ** 4).mean()
  assert abs(kurtosis - 3) < 4 * np.sqrt(24 / count)


def test_independence_across_clients_rounds_seeds_and_tensors():
  draws = [noise(0, 0), noise(0, 1), noise(1, 0), noise(1, 1), noise(0, 0, seed=1)]
  correlation = np.corrcoef(draws) - np.eye(len(draws))
  assert np.abs(correlation).max() < 4.5 / np.sqrt(len(draws[0]))
  first, second = draws[0][:900], draws[0][4200:]
  assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(900)
  np.testing.assert_array_equal(noise(0, 0), draws[0])


def run(runtime, method, sigma=SIGMA, clients=(0, 1, 2)):
  distribution = build_distribution(TYPE, sigma=sigma, num_clients=3, method=method)

  @tff.federated_computation(
    tff.FederatedType(STATE, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
  )
  def distribute(state, ids):
    return distribution(state["weights"], state["round"], state["key"], ids)

  state = collections.OrderedDict(weights=WEIGHTS, round=5, key=keys.root(7).numpy())
  return runtime.call(distribute, state, list(clients))


def test_select_and_map_and_eager_agree_bit_for_bit(runtime):
  select, mapped = run(runtime, "select"), run(runtime, "map")
  for client in range(3):
    eager = noisy_copy(WEIGHTS, SIGMA, keys.root(7), 5, client)
    for left, middle, right in zip(select[client], mapped[client], eager):
      np.testing.assert_array_equal(left, middle)
      np.testing.assert_array_equal(left, right)


def test_the_order_of_clients_does_not_matter(runtime):
  forward, backward = run(runtime, "select"), run(runtime, "select", clients=(2, 0))
  np.testing.assert_array_equal(flat(forward[2]), flat(backward[0]))


@pytest.mark.parametrize("method", ["select", "map"])
def test_without_noise_every_client_gets_the_model(runtime, method):
  np.testing.assert_array_equal(flat(run(runtime, method, sigma=0.0)), flat(WEIGHTS))


def test_weights_stay_float32():
  assert all(t.dtype == tf.float32 for t in noisy_copy(WEIGHTS, SIGMA, keys.root(0), 0, 0))
