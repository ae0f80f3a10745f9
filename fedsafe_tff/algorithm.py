"""Algorithm 1 of Fed-Safe as TFF computations; the one file that knows all its stages.

  initialize: ( -> state@SERVER)
  next:       (<state@SERVER, control@SERVER, {int32}@CLIENTS> -> <state, metrics>@SERVER)
  adapt:      (state@SERVER -> <state, float32[3]>@SERVER)
  distribute: (<state@SERVER, {int32}@CLIENTS> -> {weights}@CLIENTS)

A client is an integer: its identifier, which names its shard of images on disk, keys its share of
the randomness and is its row in the metrics. Clients come last among the arguments: TFF's
mergeable context partitions them wrongly, and silently, otherwise.
"""

import collections
import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import adaptation as adaptation_lib
from fedsafe_tff import client_work as client_work_lib
from fedsafe_tff import keys
from fedsafe_tff.data.shard_reader import read_client, read_named
from fedsafe_tff.distribution import KEY_TYPE, build_distribution
from fedsafe_tff.models.functional import FunctionalModel


@dataclasses.dataclass(frozen=True)
class FedSafe:
  """Algorithm 1, compiled.

  Attributes:
    initialize: Makes the first state: `weights`, `round` (0), `aggregator`, `server_key` (it keys
      the adaptation), `client_key` (clients may see it) and `noise_key` (known to the server alone:
      it keys the noise on copies, and clients get a child of it for that on their uploads).
    next: One round. `control` holds `adapt` (bool), `learning_rate` and `local_attack_eps`
      (float32). The metrics hold `clients`, float32 [num_clients, len(METRICS)] with a row per
      client, and `adaptation`, float32 [3].
    adapt: Adapts the state that the last round left; the bits, and the metrics, are those of
      adaptation inside that round. Several ways of adapting so share one training. None where no
      adaptation is configured.
    distribute: What every client receives for use, noised with the final sigma.
  """

  initialize: tff.Computation
  next: tff.Computation
  adapt: tff.Computation | None
  distribute: tff.Computation


def control(
  *, adapt: bool, learning_rate: float, local_attack_eps: float = 0.0
) -> collections.OrderedDict[str, np.generic]:
  """The `control` argument of `next`."""
  return collections.OrderedDict(
    adapt=np.bool_(adapt),
    learning_rate=np.float32(learning_rate),
    local_attack_eps=np.float32(local_attack_eps),
  )


CONTROL_TYPE = tff.StructType(
  [
    ("adapt", tff.TensorType(np.bool_)),
    ("learning_rate", tff.TensorType(np.float32)),
    ("local_attack_eps", tff.TensorType(np.float32)),
  ]
)


def build_fedsafe(
  model: FunctionalModel,
  *,
  shard_dir: str,
  num_clients: int,
  work: client_work_lib.ClientWork,
  aggregator: tff.aggregators.WeightedAggregationFactory,
  adaptation: adaptation_lib.Adaptation | None = None,
  server_images: int = 0,
  round_sigma: float = 0.0,
  final_sigma: float = 0.0,
  downlink: str = "select",
  seed: int = 0,
  noise_seed: int | None = None,
) -> FedSafe:
  """Composes client work, aggregation, adaptation and distribution.

  Args:
    model: The model.
    shard_dir: Folder with the shards of the clients and of the server.
    num_clients: Client identifiers run from 0 to `num_clients` - 1.
    work: Local training, clipping and uplink noise.
    aggregator: Takes the uploads, weighted by number of examples.
    adaptation: Adversarial adaptation at the server, or None.
    server_images: Number of images in the server's shard.
    round_sigma: Downlink noise inside the training rounds.
    final_sigma: Downlink noise of `distribute`.
    downlink: "select" or "map".
    seed: Seed of everything random but the noise.
    noise_seed: Seed of the noise on uploads and copies; None draws it from the system's entropy
      where there is any noise.

  Returns:
    The computations.
  """
  if noise_seed is None:
    noisy = work.uplink_sigma or round_sigma or final_sigma
    noise_seed = keys.drawn_seed() if noisy else 0
  specs = model.weight_specs()
  weights_type = tff.to_type(
    [tff.TensorType(s.dtype.as_numpy_dtype, s.shape.as_list()) for s in specs]
  )
  upload_type = weights_type
  aggregation = aggregator.create(upload_type, tff.TensorType(np.float32))

  @tff.tensorflow.computation
  def initial_values():
    root = keys.root(seed)
    return collections.OrderedDict(
      weights=list(model.init(keys.fold(root, keys.INIT))),
      round=tf.constant(0),
      server_key=keys.fold(root, keys.SERVER_STREAM),
      client_key=keys.fold(root, keys.CLIENT_STREAM),
      noise_key=keys.noise_root(noise_seed, seed),
    )

  @tff.federated_computation
  def initialize():
    values = tff.federated_eval(initial_values, tff.SERVER)
    return tff.federated_zip(
      collections.OrderedDict(
        weights=values["weights"],
        round=values["round"],
        aggregator=aggregation.initialize(),
        server_key=values["server_key"],
        client_key=values["client_key"],
        noise_key=values["noise_key"],
      )
    )

  state_type = initialize.type_signature.result.member

  shared_type = tff.StructType(
    [
      ("round", tff.TensorType(np.int32)),
      ("key", KEY_TYPE),
      ("noise_key", KEY_TYPE),
      ("learning_rate", tff.TensorType(np.float32)),
      ("local_attack_eps", tff.TensorType(np.float32)),
    ]
  )

  @tff.tensorflow.computation(state_type, CONTROL_TYPE)
  def to_share(state, control):
    return collections.OrderedDict(
      round=state["round"],
      key=state["client_key"],
      noise_key=keys.fold(state["noise_key"], keys.UPLINK_NOISE),
      learning_rate=control["learning_rate"],
      local_attack_eps=control["local_attack_eps"],
    )

  @tff.tensorflow.computation(weights_type, shared_type, np.int32)
  def work_on_client(received, shared, client):
    images, labels = read_client(shard_dir, client, model.input_shape)
    upload, metrics = client_work_lib.local_update(
      model,
      list(received),
      images,
      labels,
      keys.fold(shared["key"], shared["round"], client),
      work,
      learning_rate=shared["learning_rate"],
      attack_eps=shared["local_attack_eps"],
      noise_key=keys.fold(shared["noise_key"], shared["round"], client),
    )
    row = tf.one_hot(client, num_clients)[:, tf.newaxis]
    # Multiplying zeros by NaN would spread one client's NaN over every row.
    rows = tf.where(row > 0, metrics[tf.newaxis, :], 0.0)
    return collections.OrderedDict(upload=list(upload), weight=metrics[0], metrics=rows)

  def adapted(weights, server_key, round_number):
    images, labels = read_named(shard_dir, "adaptation", model.input_shape)
    images = tf.ensure_shape(images, [server_images, *model.input_shape])
    labels = tf.ensure_shape(labels, [server_images])
    key = keys.fold(server_key, keys.ADAPTATION, round_number)
    return adaptation_lib.adapt(model, weights, images, labels, key, adaptation)

  @tff.tensorflow.computation(state_type, weights_type, CONTROL_TYPE)
  def finish_on_server(state, aggregate, control):
    weights = tuple(aggregate)
    if work.upload == "update":
      weights = tuple(old + delta for old, delta in zip(state["weights"], weights))
    metrics = tf.zeros([len(adaptation_lib.METRICS)])
    if adaptation is not None:
      weights, metrics = tf.cond(
        control["adapt"],
        lambda: adapted(weights, state["server_key"], state["round"]),
        lambda: (weights, metrics),
      )
    return collections.OrderedDict(
      weights=list(weights), round=state["round"] + 1, adaptation=metrics
    )

  round_distribution = build_distribution(
    weights_type, sigma=round_sigma, num_clients=num_clients, method=downlink
  )
  final_distribution = build_distribution(
    weights_type, sigma=final_sigma, num_clients=num_clients, method=downlink
  )

  @tff.federated_computation(
    tff.FederatedType(state_type, tff.SERVER),
    tff.FederatedType(CONTROL_TYPE, tff.SERVER),
    tff.FederatedType(np.int32, tff.CLIENTS),
  )
  def next_round(state, control, client_ids):
    received = round_distribution(state["weights"], state["round"], state["noise_key"], client_ids)
    shared = tff.federated_broadcast(tff.federated_map(to_share, (state, control)))
    outputs = tff.federated_map(work_on_client, (received, shared, client_ids))
    aggregated = aggregation.next(state["aggregator"], outputs["upload"], outputs["weight"])
    finished = tff.federated_map(finish_on_server, (state, aggregated.result, control))
    new_state = tff.federated_zip(
      collections.OrderedDict(
        weights=finished["weights"],
        round=finished["round"],
        aggregator=aggregated.state,
        server_key=state["server_key"],
        client_key=state["client_key"],
        noise_key=state["noise_key"],
      )
    )
    metrics = tff.federated_zip(
      collections.OrderedDict(
        clients=tff.federated_sum(outputs["metrics"]), adaptation=finished["adaptation"]
      )
    )
    return new_state, metrics

  @tff.federated_computation(
    tff.FederatedType(state_type, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
  )
  def distribute(state, client_ids):
    return final_distribution(state["weights"], state["round"], state["noise_key"], client_ids)

  adapt = None
  if adaptation is not None:

    @tff.tensorflow.computation(state_type)
    def adapt_on_server(state):
      # The last round's number, of which `state` holds the successor.
      weights, metrics = adapted(
        tuple(state["weights"]), state["server_key"], state["round"] - 1
      )
      return collections.OrderedDict(weights=list(weights), adaptation=metrics)

    @tff.federated_computation(tff.FederatedType(state_type, tff.SERVER))
    def adapt(state):
      finished = tff.federated_map(adapt_on_server, state)
      new_state = tff.federated_zip(
        collections.OrderedDict(
          weights=finished["weights"],
          round=state["round"],
          aggregator=state["aggregator"],
          server_key=state["server_key"],
          client_key=state["client_key"],
          noise_key=state["noise_key"],
        )
      )
      return new_state, finished["adaptation"]

  return FedSafe(initialize=initialize, next=next_round, adapt=adapt, distribute=distribute)
