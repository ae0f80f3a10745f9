"""The key of the copies' noise stays at the server: what clients are handed, and what they make."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.runtime import values
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.training.copies import Noise, round_key
from fedsafe_tff.training.gradients import Plain
from fedsafe_tff.training.upload import Upload
from tests import small

MODEL = small.linear()
SEED, NOISE_SEED = 0x1B2C_3D4E_5F60_7182, 0x6172_8394_A5B6_C7D8  # nothing else has their bytes
CLIENTS = [0, 1, 2]


class Watching(DeviceRuntime):
  """Keeps what clients ran and received, and what came of it."""

  def __enter__(self):
    self.tasks, self.results = [], []
    return super().__enter__()

  def _client_results(self, task):
    self.tasks.append(task)
    self.results.append([[values.to_numpy(v) for v in r] for r in super()._client_results(task)])
    yield from self.results[-1]


@pytest.fixture(scope="module")
def watching():
  with Watching() as runtime:
    yield runtime


@pytest.fixture(scope="module")
def read(tmp_path_factory):
  return small.read_shards(small.store(tmp_path_factory.mktemp("shards")))


def same_copy(weights, key):
  """A copy that is the same whatever its key."""
  del key
  return tuple(weights)


PRIVATE = DpSgd(clip_norm=0.5, noise_multiplier=1.0, batch_size=8)
CASES = {
  "copies for use": {"copies": Noise(0.02), "upload": Upload("weights", sigma=0.01)},
  "copies in rounds": {
    "copies": Noise(0.02), "copies_in_rounds": True, "upload": Upload("weights", sigma=0.01)
  },
  "private": {"copies": Noise(0.02), "gradient": PRIVATE},
  "the same copy in rounds": {
    "copies": same_copy, "copies_in_rounds": True, "upload": Upload("weights", sigma=0.01)
  },
}  # fmt: skip
_built = {}


def build(read, case):
  if case not in _built:
    settings = {"gradient": Plain()} | CASES[case]
    steps = 2 if settings["gradient"] is PRIVATE else 0
    _built[case] = build_fed_safe(
      MODEL, client_optimizer=tff.learning.optimizers.build_sgdm(0.05), seed=SEED, downlink="map",
      clients=Shards(read, batch_size=8, poisson_steps=steps), noise_seed=NOISE_SEED, **settings,
    )  # fmt: skip
  return _built[case]


def handed(watching):
  """All bytes of what clients were handed last."""
  task = watching.tasks[-1]
  graph = tf.compat.v1.GraphDef.FromString(task.part.graph_def)
  nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
  constants = [tf.make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"]
  assert constants
  arrays = [*constants, *(values.to_numpy(value) for value in task.received)]
  found = [array.tobytes() for array in arrays if array.dtype != object]
  return b"/".join([*found, task.part.graph_def])


def held(blob, key):
  """Whether either word of a key is among the bytes; of a seed, its one word."""
  return any(np.int64(word).tobytes() in blob for word in np.atleast_1d(key))


def kept_at_the_server(state):
  """By name, what no client may be handed."""
  root = state.distributor["noise_key"]
  np.testing.assert_array_equal(root, keys.noise_root(NOISE_SEED, SEED))
  rounds = {f"round {number}": round_key(root, number) for number in range(4)}
  return rounds | {
    "seed": NOISE_SEED, "key": root, "all rounds'": keys.fold(root, keys.DOWNLINK_NOISE),
    "noise's": keys.fold(keys.root(NOISE_SEED), keys.NOISE_STREAM),
    "server's": state.finalizer["key"], "run's": SEED,
  }  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_no_client_is_handed_the_key_or_its_seed(watching, read, case):
  process = build(read, case)
  state = watching.call(process.next, watching.call(process.initialize), CLIENTS).state
  watching.call(process.next, state, CLIENTS)
  blob, secrets = handed(watching), kept_at_the_server(state)
  # What a client needs is found, so that nothing else would be overlooked.
  assert held(blob, state.client_work["key"]) and held(blob, state.client_work["noise_key"])
  if "copies_in_rounds" in CASES[case]:  # a client draws its copy from the round's key, that alone
    assert held(blob, secrets.pop("round 1"))
  assert not [name for name, key in secrets.items() if held(blob, key)]


def test_where_clients_draw_their_copies_they_have_the_rounds_key_alone(watching, read):
  """With --downlink=map; "select" draws them at the server, where nothing is sent but the copy."""
  process = build(read, "copies for use")
  state = watching.call(process.initialize)
  watching.call(process.distribute, state, CLIENTS)
  blob, secrets = handed(watching), kept_at_the_server(state)
  assert held(blob, secrets.pop("round 0"))
  assert not [name for name, key in secrets.items() if held(blob, key)]


@pytest.mark.parametrize("case", CASES)
def test_another_key_changes_no_bit_of_what_a_client_makes_of_its_copy(watching, read, case):
  process = build(read, case)
  state = watching.call(process.initialize)
  noise_key = np.array([3, 4], np.int64)
  distributor = collections.OrderedDict(state.distributor, noise_key=noise_key)
  made = []
  for each in (state, state._replace(distributor=distributor)):
    watching.call(process.next, each, CLIENTS)
    made.append(watching.results[-1])
  equal = [
    np.array_equal(a, b) for mine, theirs in zip(*made, strict=True) for a, b in zip(mine, theirs)
  ]
  # Where its copy comes of the key, it does show.
  assert all(equal) if case != "copies in rounds" else not all(equal)
