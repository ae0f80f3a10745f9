"""Processes on small shards, and what their tests read of them."""

import numpy as np
import tensorflow_federated as tff

from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.training.upload import Upload
from tests import small

MODEL = small.net()
SGD = tff.learning.optimizers.build_sgdm
IDS = [0, 1, 2]


_built = {}


def build(shard_store, **settings):
  """A process on the shards; one of the same settings, which takes seconds to build, is shared."""
  name = repr((shard_store.directory, sorted(settings.items())))
  if name not in _built:
    _built[name] = build_anew(shard_store, **settings)
  return _built[name]


def build_anew(shard_store, *, epochs=1, augment=(), rate=0.05, momentum=None, **settings):
  clients = Shards(small.read_shards(shard_store), batch_size=8, epochs=epochs, augment=augment)
  return build_fed_safe(
    MODEL, client_optimizer=SGD(rate, momentum), clients=clients, seed=5,
    **({"upload": Upload("weights"), "noise_seed": 6} | settings),
  )


def rounds(runtime, process, count=2, clients=IDS):
  state, metrics = runtime.call(process.initialize), None
  for _ in range(count):
    state, metrics = runtime.call(process.next, state, clients)
  return state, metrics


def weights(state):
  return state.global_model_weights.trainable


def same(left, right, **tolerance):
  for a, b in zip(left, right, strict=True):
    if tolerance:
      np.testing.assert_allclose(a, b, **tolerance)
    else:
      np.testing.assert_array_equal(a, b)
