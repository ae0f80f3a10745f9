"""Stateless randomness: every draw is keyed by (seed, purpose, round, client, ...).

A key is an int64 tensor of shape [2], 128 bits, the form that `tf.random.stateless_*` takes as
`seed` and uses all of. A child is a block of Philox4x32-10 (Salmon et al., *Parallel random
numbers: as easy as 1, 2, 3*, SC 2011), whose block function is one-to-one for every key:

  fold((a, b), n) = Philox_a(counter = (n, b))

So the children of one key never coincide, whatever their 64-bit numbers, and those of different
keys do with a chance of about 2**-128 a pair. From a child or what is drawn with it, no short way
is known to its parent and siblings; but Philox is made for simulations and is no cipher. Draws
scramble their key by a block of another Philox key first, and so don't repeat what folding that key
gives. Folding in the purpose first keeps streams apart that would otherwise share (round, client)
numbers. Philox's bits do not depend on the device.
"""

import secrets

import tensorflow as tf

# Recorded with every run: raise it when the bits of `root` or `fold`, or what is folded, change.
# 1 was `stateless_fold_in` on int32 keys: 32 bits of state, so that clients and rounds met.
VERSION = 2

ALG = "philox"
_PHILOX = 1  # as TensorFlow's ops number it

SPEC = tf.TensorSpec([2], tf.int64)

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
NOISE_STREAM = 13
WORST_CASE = 14
POISSON = 31
GRADIENT_NOISE = 32
CLIP_NOISE = 33
MICROBATCH = 34
# Of attacks and of what judges them.
ATTACK_STEP = 40
MODEL_DRAW = 41
INPUT_DRAW = 42
ATTACKER = 43
SMOOTHING = 44
MASKING = 45
SAMPLED_CLIENTS = 46
CURVES = 47
VALIDATION = 48
COHORT = 49


def root(seed: int) -> tf.Tensor:
  """The key that a run's integer `seed` (0 to 2**63 - 1) stands for, int64 [2]."""
  return tf.constant([seed, 0], tf.int64)


def drawn_seed() -> int:
  """A seed from the system's entropy, 0 to 2**63 - 1: for noise that is to protect something."""
  return secrets.randbits(63)


def noise_root(noise_seed: int, seed: int) -> tf.Tensor:
  """The key of all noise on uploads and copies, int64 [2].

  The run's seed enters too, so that runs with one `noise_seed` and several seeds, as in a table,
  have noise of their own. It needs no secrecy: `noise_seed` alone decides who can draw the noise.
  """
  return fold(root(noise_seed), NOISE_STREAM, seed)


def fold(key: tf.Tensor, *data: int | tf.Tensor) -> tf.Tensor:
  """Derives a new key from `key` (int64 [2]) and integers, one after the other.

  Args:
    key: int64 [2].
    *data: Each an int of 64 bits with sign, or a scalar int32 or int64 tensor.
  """
  # Seeds are read in host memory: on a GPU each fold would wait for it and copy there and back.
  with tf.device("CPU"):
    for number in data:
      words = tf.bitcast(key, tf.uint64)
      counter = tf.stack([tf.bitcast(tf.cast(number, tf.int64), tf.uint64), words[1]])
      key = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=SPEC.shape, key=words[:1], counter=counter, alg=_PHILOX, dtype=tf.int64
      )
  return key
