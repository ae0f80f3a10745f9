"""Philox4x32-10 after Salmon et al. (SC 2011) and the folding of keys, in NumPy, over whole arrays.

An oracle: it shares nothing with TensorFlow and is checked against the vectors published with
Random123.
"""

import numpy as np

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def words(counter, key):
  """The block function on 32-bit words: counters [..., 4] and keys [..., 2] to [..., 4]."""
  c = [np.asarray(counter)[..., i].astype(np.uint64) for i in range(4)]
  k = [np.asarray(key)[..., i].astype(np.uint64) for i in range(2)]
  for _ in range(10):
    left, right = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
    c = [
      (right >> _HALF) ^ c[1] ^ k[0], right & _LOW, (left >> _HALF) ^ c[3] ^ k[1], left & _LOW
    ]
    k = [(k[0] + np.uint64(0x9E3779B9)) & _LOW, (k[1] + np.uint64(0xBB67AE85)) & _LOW]
  return np.stack(c, -1)


def root(seeds):
  """`keys.root` of each seed: int64 [..., 2]."""
  seeds = np.asarray(seeds, np.int64)
  return np.stack([seeds, np.zeros_like(seeds)], -1)


def fold(keys, numbers):
  """`keys.fold` with one number: int64 [..., 2] and int64 [...], broadcast, to int64 [..., 2]."""
  keys = np.asarray(keys, np.int64).view(np.uint64)
  numbers = np.asarray(numbers, np.int64).view(np.uint64)
  first, second, numbers = np.broadcast_arrays(keys[..., 0], keys[..., 1], numbers)
  counter = np.stack([numbers & _LOW, numbers >> _HALF, second & _LOW, second >> _HALF], -1)
  out = words(counter, np.stack([first & _LOW, first >> _HALF], -1))
  return (out[..., ::2] | out[..., 1::2] << _HALF).view(np.int64)
