"""The downlink: an independently noised copy of the global model per client (Algorithm 1, 12-15).

The noise of client k in round t is drawn from (noise key, round t, client k), so that no two
clients and no two rounds share any, and a client's identifier must be unique in a round. `select`
draws it at the server, where the key stays; `map` sends the model and the key and draws the very
same bits at the client, which needs less memory with many clients and suits map-reduce
runtimes, but is a simulation: whoever has the key can subtract the noise.

When clients upload *weights* (the paper, Eq. 4), the noise that they started from stays in the
average; when they upload *updates* against the noised copy, the server adds those to its own
clean weights, and only the noise's effect on the training remains.
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.client_work import gaussian_noise
from fedsafe_tff.models.functional import Weights

# Of a key that is sent or kept in a state.
KEY_TYPE = tff.TensorType(keys.SPEC.dtype.as_numpy_dtype, keys.SPEC.shape)


def noisy_copy(
  weights: Sequence[tf.Tensor],
  sigma: float,
  noise_key: tf.Tensor,
  round_number: tf.Tensor | int,
  client: tf.Tensor | int,
) -> Weights:
  """The copy of `weights` for one client in one round: g^(k) = g + N(0, sigma^2).

  Args:
    weights: The global model.
    sigma: Standard deviation per weight; 0 returns the weights unchanged.
    noise_key: int64 [2]; known to the server alone.
    round_number: The round.
    client: The client's identifier.
  """
  if not sigma:
    return tuple(weights)
  key = keys.fold(noise_key, keys.DOWNLINK_NOISE, round_number, client)
  return tuple(w + n for w, n in zip(weights, gaussian_noise(weights, sigma, key)))


def build_distribution(
  weights_type: tff.Type, *, sigma: float, num_clients: int, method: str = "select"
) -> Callable[..., tff.Value]:
  """Builds a function for use inside a `tff.federated_computation`.

  Args:
    weights_type: TFF type of the model's weights.
    sigma: Standard deviation of the noise.
    num_clients: Client identifiers run from 0 to `num_clients` - 1.
    method: "select" or "map"; the bits are the same.

  Returns:
    A function from (weights@SERVER, round@SERVER, noise_key@SERVER, client_ids@CLIENTS) to the
    copies, weights@CLIENTS.
  """
  sent_type = tff.StructType(
    [
      ("weights", weights_type),
      ("round", tff.TensorType(np.int32)),
      ("key", KEY_TYPE),
    ]
  )

  @tff.tensorflow.computation(sent_type, np.int32)
  def copy_for(sent, client):
    return list(noisy_copy(list(sent["weights"]), sigma, sent["key"], sent["round"], client))

  @tff.tensorflow.computation(tff.SequenceType(weights_type))
  def only(copies):
    return copies.get_single_element()

  @tff.tensorflow.computation(np.int32)
  def as_keys(client):
    return tf.reshape(client, [1])

  def distribute(weights, round_number, noise_key, client_ids):
    if not sigma:
      return tff.federated_broadcast(weights)
    sent = tff.federated_zip(
      collections.OrderedDict(weights=weights, round=round_number, key=noise_key)
    )
    if method == "map":
      return tff.federated_map(copy_for, (tff.federated_broadcast(sent), client_ids))
    selected = tff.federated_select(
      tff.federated_map(as_keys, client_ids),
      tff.federated_value(num_clients - 1, tff.SERVER),
      sent,
      copy_for,
    )
    return tff.federated_map(only, selected)

  return distribute
