"""The downlink as TFF's template: a copy of the global model per client (Algorithm 1, 12-15).

TFF's `DistributionProcess` never sees who the clients are. So in training rounds the weights go
down with the round's key, and a client's copy is drawn where its identifier is known
(`client_work.start_from_copies`). What clients receive for use is drawn at the server, where the
key stays: `distribute`, by `tff.federated_select`. The bits are the same either way.
"""

import collections

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.training.copies import Copies, Noise, round_key

DOWNLINKS = ("select", "map")
_LARGEST_ID = 2**31 - 2


class CopyDistribution(tff.learning.templates.DistributionProcess):
  """A `DistributionProcess` that also hands out copies for use."""

  def __init__(
    self, initialize_fn: tff.Computation, next_fn: tff.Computation, distribute_fn: tff.Computation
  ):
    """See `tff.learning.templates.DistributionProcess`.

    Args:
      initialize_fn: -> state@SERVER.
      next_fn: `<state, weights>@SERVER` -> what clients train on.
      distribute_fn: `(<state, weights>@SERVER, int32@CLIENTS) -> weights@CLIENTS`.
    """
    super().__init__(initialize_fn, next_fn)
    self._distribute_fn = distribute_fn

  @property
  def distribute(self) -> tff.Computation:
    """(state@SERVER, weights@SERVER, client identifiers@CLIENTS) -> copies@CLIENTS."""
    return self._distribute_fn


def build_copy_distribution(
  weights_type: tff.Type,
  copies: Copies | None = None,
  *,
  in_rounds: bool = False,
  downlink: str = "select",
  seed: int = 0,
  noise_seed: int | None = None,
) -> CopyDistribution:
  """Builds the distribution of copies.

  Its state holds the round and the key of all noise, which no client sees.

  Args:
    weights_type: Type of the weights, `tff.learning.models.ModelWeights`.
    copies: How a client's copy is made; None hands out the global model.
    in_rounds: Whether clients train on copies too. `next` then gives `<weights, key>`, for client
      work within `start_from_copies`; otherwise it gives the weights, as TFF's broadcast does.
    downlink: How `distribute` makes copies: "select", at the server, or "map", at the client, from
      a key sent along; that needs less memory with many clients, and is what runtimes other than
      the native one can do.
    seed: Of the run; it enters the copies too, and needs no secrecy.
    noise_seed: Of the copies; None draws it from the system's entropy.

  Raises:
    UserError: `downlink` is unknown.
  """
  if downlink not in DOWNLINKS:
    raise UserError(f"downlink {downlink!r} is unknown: choose {' or '.join(DOWNLINKS)}")
  make = Noise(0.0) if copies is None else copies
  # Drawn here, once: the computations below are traced when it suits TFF.
  noise_key = types.noise_key(noise_seed, seed, noisy=copies is not None).numpy()

  @tff.tensorflow.computation
  def initial_state():
    return collections.OrderedDict(round=tf.constant(0), noise_key=tf.constant(noise_key))

  state_type = initial_state.type_signature.result
  sent_type = tff.StructType([("weights", weights_type), ("key", types.KEY)])
  at_server = (
    tff.FederatedType(state_type, tff.SERVER), tff.FederatedType(weights_type, tff.SERVER)
  )

  @tff.tensorflow.computation(state_type)
  def next_state(state):
    return collections.OrderedDict(round=state["round"] + 1, noise_key=state["noise_key"])

  @tff.tensorflow.computation(state_type, weights_type)
  def with_key(state, weights):
    key = round_key(state["noise_key"], state["round"])
    return collections.OrderedDict(weights=weights, key=key)

  @tff.tensorflow.computation(sent_type, types.CLIENT)
  def copy_for(sent, client):
    copy = tuple(make(tuple(sent["weights"].trainable), keys.fold(sent["key"], client)))
    return tff.learning.models.ModelWeights(copy, sent["weights"].non_trainable)

  @tff.tensorflow.computation(tff.SequenceType(weights_type))
  def only(selected):
    return selected.get_single_element()

  @tff.tensorflow.computation(types.CLIENT)
  def as_keys(client):
    return tf.reshape(client, [1])

  @tff.federated_computation
  def initialize():
    return tff.federated_eval(initial_state, tff.SERVER)

  @tff.federated_computation(*at_server)
  def next_round(state, weights):
    sent = weights
    if copies is not None and in_rounds:
      sent = tff.federated_map(with_key, (state, weights))
    return tff.templates.MeasuredProcessOutput(
      tff.federated_map(next_state, state),
      tff.federated_broadcast(sent),
      tff.federated_value((), tff.SERVER),
    )

  @tff.federated_computation(*at_server, tff.FederatedType(types.CLIENT, tff.CLIENTS))
  def distribute(state, weights, client_ids):
    if copies is None:
      return tff.federated_broadcast(weights)
    sent = tff.federated_map(with_key, (state, weights))
    if downlink == "map":
      return tff.federated_map(copy_for, (tff.federated_broadcast(sent), client_ids))
    selected = tff.federated_select(
      tff.federated_map(as_keys, client_ids),
      tff.federated_value(_LARGEST_ID, tff.SERVER),
      sent,
      copy_for,
    )
    return tff.federated_map(only, selected)

  return CopyDistribution(initialize, next_round, distribute)
