"""Stateless randomness: every draw is keyed by (seed, purpose, round, client, ...).

A key is an int32 tensor of shape [2], the form that `tf.random.stateless_*` takes as `seed`.
Folding in the purpose first keeps streams apart that would otherwise share (round, client)
numbers. Everything is drawn with Philox, whose bits do not depend on the device.
"""

import tensorflow as tf

ALG = "philox"

# Purposes. The numbers are part of the bits of every run: never reuse or renumber one.
INIT = 1
SHUFFLE = 2
AUGMENT = 3
DROPOUT = 4
ATTACK = 5
UPLINK_NOISE = 6
DOWNLINK_NOISE = 7
ADAPTATION = 8
EVALUATION = 9
RANDOM_NOISE = 10
CLIENT_STREAM = 11
SERVER_STREAM = 12


def root(seed: int) -> tf.Tensor:
  """The key that a run's integer `seed` (0 to 2**62) stands for, int32 [2]."""
  return tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int32)


def fold(key: tf.Tensor, *data: int | tf.Tensor) -> tf.Tensor:
  """Derives a new key from `key` (int32 [2]) and integers, which may be scalar tensors."""
  for number in data:
    key = tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int32), alg=ALG)
  return key
