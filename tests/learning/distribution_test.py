import collections

import numpy as np
import pytest
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.learning.distribution import build_copy_distribution
from fedsafe_tff.training.copies import Noise, noisy_copy
from tests import small

SIGMA = 0.05
MODEL = small.linear()
TYPE = types.weights_type(MODEL)
WEIGHTS = tff.learning.models.ModelWeights(
  tuple(w.numpy() for w in MODEL.init(keys.root(1))), ()
)


def handed(runtime, process, state):
  """The next state, and what a client is handed."""

  @tff.federated_computation(
    *process.next.type_signature.parameter, tff.FederatedType(np.int32, tff.CLIENTS)
  )
  def hand_out(state, weights, client_ids):
    output = process.next(state, weights)
    return output.state, output.result

  return runtime.call(hand_out, state, WEIGHTS, [0, 1])


def flat(weights):
  return np.concatenate([np.ravel(w) for w in weights.trainable])


COPIES = Noise(SIGMA)


def run(runtime, downlink, copies=COPIES, clients=(0, 1, 2)):
  process = build_copy_distribution(TYPE, copies, downlink=downlink, seed=7, noise_seed=8)
  state = runtime.call(process.initialize)
  np.testing.assert_array_equal(state["noise_key"], keys.noise_root(8, 7))
  state = collections.OrderedDict(state, round=np.int32(5))
  return runtime.call(process.distribute, state, WEIGHTS, list(clients)), state["noise_key"]


def test_select_and_map_and_eager_agree_bit_for_bit(runtime):
  (select, key), (mapped, _) = run(runtime, "select"), run(runtime, "map")
  for client in range(3):
    eager = noisy_copy(WEIGHTS.trainable, SIGMA, key, 5, client)
    np.testing.assert_array_equal(flat(select[client]), flat(mapped[client]))
    np.testing.assert_array_equal(
      flat(select[client]), np.concatenate([np.ravel(w) for w in eager])
    )
  assert (flat(select[0]) != flat(select[1])).all()


def test_the_order_of_clients_does_not_matter_and_their_numbers_may_be_large(runtime):
  forward, _ = run(runtime, "select", clients=(0, 1, 2_000_000_000))
  backward, _ = run(runtime, "select", clients=(2_000_000_000, 0))
  np.testing.assert_array_equal(flat(forward[2]), flat(backward[0]))


@pytest.mark.parametrize("downlink", ["select", "map"])
def test_without_noise_every_client_gets_the_model(runtime, downlink):
  np.testing.assert_array_equal(flat(run(runtime, downlink, copies=None)[0]), flat(WEIGHTS))


def test_rounds_are_counted_and_hand_out_keys_of_their_own(runtime):
  process = build_copy_distribution(TYPE, Noise(SIGMA), in_rounds=True, seed=7, noise_seed=8)
  state = runtime.call(process.initialize)
  first, sent = handed(runtime, process, state)
  second, later = handed(runtime, process, first)
  assert (state["round"], first["round"], second["round"]) == (0, 1, 2)
  assert not np.array_equal(sent["key"], later["key"])
  assert not any(np.array_equal(key, state["noise_key"]) for key in (sent["key"], later["key"]))
  np.testing.assert_array_equal(second["noise_key"], state["noise_key"])
  np.testing.assert_array_equal(flat(sent["weights"]), flat(WEIGHTS))


def test_without_noise_in_rounds_it_is_tffs_broadcast_by_type(runtime):
  for process in (build_copy_distribution(TYPE), build_copy_distribution(TYPE, Noise(SIGMA))):
    assert isinstance(process, tff.learning.templates.DistributionProcess)
    assert process.next.type_signature.result.result.member.is_equivalent_to(TYPE)
    _, sent = handed(runtime, process, runtime.call(process.initialize))
    np.testing.assert_array_equal(flat(sent), flat(WEIGHTS))


def test_without_a_seed_the_noise_comes_from_the_systems_entropy(runtime):
  drawn = [build_copy_distribution(TYPE, COPIES, seed=7) for _ in range(2)]
  noise_keys = [runtime.call(process.initialize)["noise_key"] for process in drawn]
  assert (noise_keys[0] != noise_keys[1]).any()
  quiet = runtime.call(build_copy_distribution(TYPE, seed=7).initialize)
  np.testing.assert_array_equal(quiet["noise_key"], keys.noise_root(0, 7))


def test_an_unknown_downlink():
  with pytest.raises(UserError, match="'post' is unknown: choose select or map"):
    build_copy_distribution(TYPE, downlink="post")
