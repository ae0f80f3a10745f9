import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.learning import types
from fedsafe_tff.runtime.device import DeviceRuntime
from tests import philox

PURPOSES = {
  name: value
  for name, value in vars(keys).items()
  if name.isupper() and isinstance(value, int) and name not in ("VERSION", "_PHILOX")
}


def draw(key, count=20_000):
  return tf.random.stateless_normal([count], key, alg=keys.ALG).numpy()


def assert_distinct(made):
  """No two keys share even one of their two words, which among a few millions chance won't do."""
  for word in (0, 1):
    found = np.concatenate([keys_[..., word].ravel() for keys_ in made])
    assert len(np.unique(found)) == len(found)


def test_no_two_purposes_share_a_number():
  assert len(PURPOSES) == 28 and len(set(PURPOSES.values())) == len(PURPOSES)


@pytest.mark.parametrize(
  "counter, key, expected",
  [  # kat_vectors of Random123
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
      [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
      [0xA4093822, 0x299F31D0],
      [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
  ],
)
def test_the_oracle_is_philox(counter, key, expected):
  np.testing.assert_array_equal(philox.words(counter, key), expected)


def test_a_child_is_a_block_of_philox():
  rng = np.random.default_rng(0)
  limits = np.iinfo(np.int64)
  parents = rng.integers(limits.min, limits.max, [40, 2], endpoint=True)
  numbers = np.concatenate([
    rng.integers(limits.min, limits.max, 30), [0, 1, -1, 2**31, 2**32, 2**32 + 1],
    [limits.min, limits.max, 174, 495],
  ])
  made = [keys.fold(tf.constant(k), int(n)) for k, n in zip(parents, numbers)]
  np.testing.assert_array_equal(made, philox.fold(parents, numbers))


def test_a_million_paths_have_keys_of_their_own():
  stream = philox.fold(philox.root(0), keys.SERVER_STREAM)
  purposes = philox.fold(stream, sorted(PURPOSES.values()))
  rounds = philox.fold(purposes[keys.DOWNLINK_NOISE - 1], np.arange(500))
  clients = philox.fold(rounds[:, None], np.arange(600))
  tensors = philox.fold(clients[:, :, None], np.arange(4))
  assert tensors.size // 2 > 1_000_000
  assert_distinct([philox.root(0), stream, purposes, rounds, clients, tensors])
  for path in ((5, 174, 0), (51, 495, 3)):
    found = keys.fold(keys.root(0), keys.SERVER_STREAM, keys.DOWNLINK_NOISE, *path)
    np.testing.assert_array_equal(found, tensors[path])
  # Every bit of a key is a fair coin.
  bits = np.unpackbits(tensors.reshape(-1, 2).view(np.uint8), axis=1).mean(0)
  assert np.abs(bits - 0.5).max() < 5.5 * 0.5 / np.sqrt(tensors.size / 2)


def test_the_streams_of_two_hundred_thousand_seeds_are_their_own():
  roots = philox.root(np.arange(200_000))
  streams = [philox.fold(roots, p) for p in (keys.INIT, keys.CLIENT_STREAM, keys.SERVER_STREAM)]
  assert_distinct([*streams, philox.fold(philox.fold(streams[1], 0), 0)])
  for seed in (33043, 148116):
    found = keys.fold(keys.root(seed), keys.CLIENT_STREAM)
    np.testing.assert_array_equal(found, streams[1][seed])


@pytest.mark.parametrize(
  "left, right",
  [  # what met when a key had 32 bits of state
    ((0, keys.SERVER_STREAM, keys.DOWNLINK_NOISE, 5, 174),
     (0, keys.SERVER_STREAM, keys.DOWNLINK_NOISE, 51, 495)),
    ((33043, keys.CLIENT_STREAM, 0, 0), (148116, keys.CLIENT_STREAM, 0, 0)),
    ((25412, keys.INIT), (72937, keys.INIT)),
  ],
)
def test_paths_that_met_share_no_draws(left, right):
  first, second = (keys.fold(keys.root(seed), *path) for seed, *path in (left, right))
  for index in range(3):
    a, b = draw(keys.fold(first, index)), draw(keys.fold(second, index))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(len(a))


def test_a_draw_uses_all_bits_of_a_key():
  start = np.array([17, 4])
  bits = np.int64(1) << np.arange(64)
  flipped = [start, *(start ^ [bit, 0] for bit in bits), *(start ^ [0, bit] for bit in bits)]
  assert len({draw(tf.constant(key), 4).tobytes() for key in flipped}) == 129


def test_draws_share_no_block_with_the_children():
  key = keys.fold(keys.root(1), 2)
  drawn = tf.random.stateless_uniform([64], key, None, None, tf.int64, alg=keys.ALG).numpy()
  children = philox.fold(key.numpy(), np.arange(64))
  assert not set(drawn) & set(children.ravel())


def test_purposes_rounds_and_clients_all_have_keys_of_their_own():
  root = keys.root(7)
  paths = [
    path
    for length in (1, 2, 3)
    for path in itertools.product(*[sorted(PURPOSES.values()), range(4), range(4)][:length])
  ]
  made = {tuple(keys.fold(root, *path).numpy()) for path in paths}
  assert len(made) == len(paths) == len(PURPOSES) * (1 + 4 + 16)
  assert tuple(root.numpy()) not in made


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


def test_noise_has_a_root_of_its_own_for_every_pair_of_seeds():
  pairs = [(a, b) for a in (0, 1, 13, 2**62) for b in (0, 1, 13, 2**63 - 1)]
  roots = [keys.noise_root(*pair).numpy() for pair in pairs]
  np.testing.assert_array_equal(
    roots, [philox.fold(philox.fold(philox.root(a), keys.NOISE_STREAM), b) for a, b in pairs]
  )
  # A run whose two seeds are one number draws its noise from none of its other streams.
  others = [keys.fold(keys.root(a), p).numpy() for a in (0, 1, 13) for p in PURPOSES.values()]
  assert_distinct([np.stack(roots), np.stack(others)])


def test_drawn_seeds_are_seeds_and_never_the_same():
  drawn = {keys.drawn_seed() for _ in range(100)}
  assert len(drawn) == 100 and min(drawn) >= 0 and 2**50 < max(drawn) < 2**63


def test_seeds_that_differ_in_any_bit_have_streams_of_their_own():
  seeds = [0, 2**63 - 1] + [1 << bit for bit in range(63)]
  np.testing.assert_array_equal([keys.root(seed) for seed in seeds], philox.root(seeds))
  assert_distinct([philox.fold(philox.root(seeds), keys.INIT)])
  with pytest.raises((ValueError, OverflowError)):
    keys.root(2**63)


def test_the_same_key_in_a_traced_function_and_with_tensors():
  root = keys.root(2**40 + 7)
  traced = tf.function(lambda key, number, client: keys.fold(key, keys.SHUFFLE, number, client))
  expected = keys.fold(root, keys.SHUFFLE, 3, 2)
  np.testing.assert_array_equal(traced(root, tf.constant(3), tf.constant(2)), expected)
  np.testing.assert_array_equal(traced(root, tf.constant(3, tf.int64), 2), expected)
  compiled = tf.function(keys.fold, jit_compile=True)
  np.testing.assert_array_equal(compiled(root, keys.SHUFFLE, 3, 2), expected)
  assert expected.dtype == keys.SPEC.dtype and expected.shape == keys.SPEC.shape


def test_the_same_key_in_the_runtimes(runtime):
  @tff.tensorflow.computation(types.KEY, np.int32)
  def in_a_loop(key, number):
    return tf.while_loop(
      lambda step, _: step < 3, lambda step, k: (step + 1, keys.fold(k, step)), (number, key)
    )[1]

  start = keys.root(9)
  expected = keys.fold(start, 0, 1, 2)
  np.testing.assert_array_equal(runtime.call(in_a_loop, start.numpy(), 0), expected)
  with DeviceRuntime() as device:
    np.testing.assert_array_equal(device.call(in_a_loop, start.numpy(), 0), expected)


def test_folding_stays_in_host_memory():
  @tf.function(input_signature=[keys.SPEC])
  def fold(key):
    return keys.fold(key, 1)

  operations = fold.get_concrete_function().graph.get_operations()
  placed = {op.device for op in operations if op.type not in ("Placeholder", "Identity", "NoOp")}
  assert placed == {"/device:CPU:*"}


def test_the_bits_of_runs_stay_as_they_are():
  assert keys.VERSION == 2
  np.testing.assert_array_equal(keys.fold(keys.root(0), 1), philox.fold([0, 0], 1))
  expected = [-4468414651648748307, -944617181464746749]
  np.testing.assert_array_equal(keys.fold(keys.root(2**40 + 7), 5, 2, 3), expected)
