import itertools

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys

PURPOSES = {
  name: value for name, value in vars(keys).items() if name.isupper() and isinstance(value, int)
}


def draw(key, count=20_000):
  return tf.random.stateless_normal([count], key, alg=keys.ALG).numpy()


def test_no_two_purposes_share_a_number():
  assert len(PURPOSES) == 12 and len(set(PURPOSES.values())) == len(PURPOSES)


def test_purposes_rounds_and_clients_all_have_keys_of_their_own():
  root = keys.root(7)
  paths = [
    path
    for length in (1, 2, 3)
    for path in itertools.product(*[sorted(PURPOSES.values()), range(4), range(4)][:length])
  ]
  made = {tuple(keys.fold(root, *path).numpy()) for path in paths}
  assert len(made) == len(paths) == 12 * (1 + 4 + 16)


def test_the_order_of_folding_counts():
  root = keys.root(7)
  assert (keys.fold(root, 1, 2).numpy() != keys.fold(root, 2, 1).numpy()).any()
  np.testing.assert_array_equal(keys.fold(keys.fold(root, 1), 2), keys.fold(root, 1, 2))


def test_streams_of_neighbouring_keys_are_uncorrelated():
  root = keys.root(0)
  paths = [(keys.UPLINK_NOISE, 0, 0), (keys.UPLINK_NOISE, 0, 1), (keys.UPLINK_NOISE, 1, 0),
           (keys.DOWNLINK_NOISE, 0, 0)]
  values = np.stack([draw(keys.fold(root, *path)) for path in paths])
  correlations = np.corrcoef(values) - np.eye(len(paths))
  assert np.abs(correlations).max() < 4 / np.sqrt(values.shape[1])


def test_seeds_that_differ_in_any_bit_have_roots_of_their_own():
  seeds = [0, 2**62 - 1] + [1 << bit for bit in range(62)]
  roots = {tuple(keys.root(seed).numpy()) for seed in seeds}
  assert len(roots) == len(seeds)
  assert keys.root(2**62 - 1).dtype == tf.int32 and min(map(min, roots)) >= 0


def test_the_same_key_in_a_traced_function_and_with_tensors():
  root = keys.root(2**40 + 7)
  traced = tf.function(lambda key, number, client: keys.fold(key, keys.SHUFFLE, number, client))
  expected = keys.fold(root, keys.SHUFFLE, 3, 2)
  np.testing.assert_array_equal(traced(root, tf.constant(3), tf.constant(2)), expected)
  np.testing.assert_array_equal(traced(root, tf.constant(3, tf.int64), 2), expected)


def test_the_bits_of_old_runs_stay_as_they_were():
  np.testing.assert_array_equal(keys.fold(keys.root(0), 1), [-409271666, 1])
  np.testing.assert_array_equal(keys.fold(keys.root(2**40 + 7), 5, 2, 3), [-1869846477, 3])
