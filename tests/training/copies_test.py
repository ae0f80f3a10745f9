import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.training.copies import Noise, noisy_copy, round_key

SIGMA = 0.05
WEIGHTS = [np.zeros([60, 70], np.float32), np.ones([900], np.float32)]


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


def test_weights_stay_float32_and_without_noise_they_stay():
  made = noisy_copy(WEIGHTS, SIGMA, keys.root(0), 0, 0)
  assert all(t.dtype == tf.float32 for t in made)
  np.testing.assert_array_equal(flat(Noise(0.0)(WEIGHTS, keys.root(0))), flat(WEIGHTS))


def test_a_rounds_key_and_a_client_make_the_copy():
  key = keys.fold(round_key(keys.root(3), 5), 2)
  left, right = Noise(SIGMA)(WEIGHTS, key), noisy_copy(WEIGHTS, SIGMA, keys.root(3), 5, 2)
  np.testing.assert_array_equal(flat(left), flat(right))


def test_noise_below_zero():
  with pytest.raises(UserError, match="at least 0"):
    Noise(-0.1)
