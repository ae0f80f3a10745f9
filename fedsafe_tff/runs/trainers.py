"""From a run's settings to the learning process that it trains with, and its rounds."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff
from google.protobuf import message as protobuf

from fedsafe_tff import keys
from fedsafe_tff.data.augment import parse_ops
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import aggregation, baselines, deep, fed_safe
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.runs import defenses
from fedsafe_tff.runs import passes as passes_lib
from fedsafe_tff.runs.cohort import cohort
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.runs.private import poisson_steps
from fedsafe_tff.runs.schedule import adapts_in, iterates, learning_rate, local_attack_eps
from fedsafe_tff.training import iterated, local, own, schedules
from fedsafe_tff.training.upload import Upload

Call = Callable[..., Any]  # invokes a TFF computation in the runtime
Process = tff.learning.templates.LearningProcess


def build_trainer(config: Config, prepared: Prepared, noise: Noise, call: Call) -> "Trainer":
  """The trainer for `config.algorithm`."""
  sizes = [len(rows) for rows in prepared.clients]

  def in_round(round_index: int) -> list[int]:
    return cohort(config, round_index)

  if config.algorithm == "fedsafe":
    if config.mechanism_asked and config.privacy == "distributed":
      deep.allow()
    try:
      process = build_fed_safe(config, prepared, noise)
    except protobuf.DecodeError:
      raise UserError(
        f"--privacy={config.privacy}: TFF can't put its aggregator into a whole process, whose "
        "description gets too deep to be read back: choose another mechanism, such as central"
      ) from None
    noise_key = keys.noise_root(noise.seed or 0, config.seed).numpy()
    return Trainer(
      process,
      call,
      in_round,
      lambda client, round_index: client,
      sizes,
      noise_key,
      lambda round_index: iterates(config) and adapts_in(config, round_index),
    )
  return Trainer(
    build_baseline(config, prepared),
    call,
    in_round,
    baselines.client_argument,
    sizes,
  )


class Trainer:
  """A learning process in a runtime, round by round."""

  def __init__(
    self,
    process: Process,
    call: Call,
    in_round: Callable[[int], list[int]],
    argument: Callable[[int, int], Any],
    sizes: Sequence[int],
    noise_key: np.ndarray | None = None,
    adapts_after: Callable[[int], bool] = lambda round_index: False,
  ):
    """Wraps a process.

    Args:
      process: Fed-Safe, or another of TFF's.
      call: Invokes its computations.
      in_round: The clients that take part in a round, from 0.
      argument: A client's argument in a round.
      sizes: Number of images of each client; clients are numbered from 0.
      noise_key: Of the noise on the clients' copies.
      adapts_after: Whether `adapt` is to be called after a round (from 0), which did not adapt.
    """
    self._process, self._call, self._sizes = process, call, sizes
    self._in_round, self._argument = in_round, argument
    self._noise_key, self.adapts_after = noise_key, adapts_after

  def initialize(self) -> Any:
    """The state before the first round."""
    return self._call(self._process.initialize)

  def next(self, state: Any, round_index: int) -> tuple[Any, dict[str, np.ndarray | None]]:
    """Runs round `round_index` (from 0); returns the state and the metrics.

    The metrics hold `took_part`, the numbers of the round's clients, `clients`, float32
    [N, len(METRICS)] with NaN for the others and where the algorithm does not tell, `adaptation`,
    float32 [3] or None, and `passes`, a row per pass of an iterated one.
    """
    took_part = self._in_round(round_index)
    given = [self._argument(client, round_index) for client in took_part]
    output = self._call(self._process.next, state, given)
    told = output.metrics["client_work"]
    table = np.full([len(self._sizes), len(local.METRICS)], np.nan, np.float32)
    if "clients" in told:
      table[told["clients"]["client"]] = told["clients"]["metrics"]
    else:  # TFF tells only the aggregated loss and accuracy of training
      table[took_part, local.METRICS.index("num_examples")] = np.take(self._sizes, took_part)
      for name in ("loss", "accuracy"):
        table[took_part, local.METRICS.index(name)] = told["train"][name]
    finalized = output.metrics["finalizer"]
    adaptation = finalized["adaptation"] if "adaptation" in finalized else {"adapted": False}
    metrics = np.asarray(adaptation["metrics"]) if adaptation["adapted"] else None
    passes = passes_of(adaptation) if adaptation["adapted"] else []
    return output.state, {
      "took_part": np.asarray(took_part, int),
      "clients": table,
      "adaptation": metrics,
      "passes": passes,
    }

  def adapt(
    self,
    state: Any,
    kept: passes_lib.Kept | None = None,
    after_pass: Callable[[str, bool], None] = lambda text, over: None,
  ) -> tuple[Any, np.ndarray, list[dict[str, float]]]:
    """Adapts the state that the last round left.

    The bits are those of adaptation inside that round.

    Args:
      state: The state.
      kept: Where the passes of an iterated adaptation are kept; what is there is gone on with.
      after_pass: Is told of each of them and whether it was the last; to stop it may raise.

    Returns:
      The state, the metrics, float32 [3], and a row per pass of an iterated adaptation.
    """
    if self._process.adapt_pass is None:
      output = self._call(self._process.adapt, state)
      return output.state, np.asarray(output.metrics["metrics"]), passes_of(output.metrics)

    def one_pass(carried: dict[str, Any]) -> Mapping[str, Any]:
      given = collections.OrderedDict(carried)
      return self._call(self._process.adapt_pass, state, given)

    carried = self._process.adapt_pass.type_signature.parameter[1].member
    shape, most = carried.images.shape[1:], carried.table.shape[0]
    made = passes_lib.make(self.weights(state), shape, most, one_pass, kept, after_pass)
    told = {"passes": made.table}
    return self.with_weights(state, made.weights), np.asarray(made.metrics), passes_of(told)

  def weights(self, state: Any) -> tuple[np.ndarray, ...]:
    """The global model."""
    return _arrays(self._call(self._process.get_model_weights, state))

  def with_weights(self, state: Any, weights: Sequence[np.ndarray]) -> Any:
    """The state with another global model."""
    given = tff.learning.models.ModelWeights(tuple(weights), ())
    return self._call(self._process.set_model_weights, state, given)

  def with_noise(self, state: Any) -> Any:
    """A state that a training without noise left, with the key of this trainer's."""
    distributor = type(state.distributor)(state.distributor, noise_key=self._noise_key)
    return state._replace(distributor=distributor)

  def copies(self, state: Any, clients: Sequence[int] | None = None) -> list[Sequence[np.ndarray]]:
    """What each client receives for use; of some clients alone where they are given."""
    clients = list(range(len(self._sizes)) if clients is None else clients)
    if not isinstance(self._process, fed_safe.FedSafeProcess):
      return [self.weights(state)] * len(clients)
    received = self._call(self._process.distribute, state, clients)
    if isinstance(received, tff.learning.models.ModelWeights):  # the same for all
      return [_arrays(received)] * len(clients)
    return [_arrays(copy) for copy in received]


def passes_of(measured: Mapping[str, Any]) -> list[dict[str, float]]:
  """A row of `iterated.PASSES` per pass that an iterated adaptation took; none for others."""
  table = np.asarray(measured["passes"]) if "passes" in measured else np.zeros([0, 1])
  return [dict(zip(iterated.PASSES, row.tolist())) for row in table if row[0] >= 0]


def _arrays(weights: tff.learning.models.ModelWeights) -> tuple[np.ndarray, ...]:
  return tuple(np.asarray(weight) for weight in weights.trainable)


def _shards(config: Config, prepared: Prepared) -> Shards:
  directory, shape = prepared.store.directory, prepared.store.image_shape
  private_steps = 0
  if config.mechanism_asked and config.privacy == "dp_sgd":
    private_steps = poisson_steps(config, [len(rows) for rows in prepared.clients])
  return Shards(
    read=lambda client: read_client(directory, client, shape),
    batch_size=config.batch_size,
    epochs=config.local_epochs,
    augment=parse_ops(config.augment),
    poisson_steps=private_steps,
  )


def build_fed_safe(config: Config, prepared: Prepared, noise: Noise) -> fed_safe.FedSafeProcess:
  """Algorithm 1, as the settings want it.

  The state is the same whatever the server does after the last round, so that one training can be
  adapted and distributed in many ways.
  """
  gradient = defenses.gradient(config)
  attack_eps_fn = _by_round(local_attack_eps, config) if config.trains_robustly else None
  if noise.mechanism and noise.mechanism.gradient is not None:
    if own.slots_of(config.defense).get("gradient"):
      raise UserError(
        f"--privacy={config.privacy} makes the gradient of local training, and so does "
        f"--defense={config.defense}: leave out one"
      )
    gradient = noise.mechanism.gradient
  adapting = {}
  if config.adapts:
    adapting = {
      "adaptation": defenses.adaptation(config),
      "adaptation_data": defenses.server_data(prepared),
      # Iterated, it is made after the round, pass by pass: see `Trainer.adapt`.
      # A state of before that is due in the next round is so once: None would leave it due.
      "adapt_when": _by_round(_never if iterates(config) else adapts_in, config),
    }
  made = defenses.copies(config, prepared, noise.downlink_sigma)
  return fed_safe.build_fed_safe(
    prepared.model.in_training,
    client_optimizer=tff.learning.optimizers.build_sgdm(
      config.learning_rate, config.momentum or None
    ),
    clients=_shards(config, prepared),
    gradient=gradient,
    gradient_clip=config.gradient_clip,
    weight_decay=config.weight_decay,
    client_learning_rate_fn=_by_round(learning_rate, config),
    attack_eps_fn=attack_eps_fn,
    upload=Upload(config.upload, noise.upload_clip, noise.uplink_sigma),
    model_aggregator=_aggregator(config, prepared, noise),
    copies=made,
    copies_in_rounds=made is not None and config.downlink_schedule == "every",
    # The map-reduce form of the other runtimes has no federated_select; the bits are the same.
    downlink=config.downlink if config.runtime == "native" else "map",
    seed=config.seed,
    noise_seed=noise.seed,
    leave_out_not_finite=config.not_finite == "leave_out",
    **adapting,
  )


def _aggregator(
  config: Config, prepared: Prepared, noise: Noise
) -> tff.aggregators.WeightedAggregationFactory:
  if noise.mechanism and noise.mechanism.make_aggregator is not None:
    specs = prepared.model.weight_specs()
    return tff.aggregators.as_weighted_aggregator(noise.mechanism.make_aggregator(specs))
  return aggregation.build_aggregator(
    config.aggregator,
    clip_norm=config.clip_norm,
    noise_multiplier=config.dp_noise_multiplier,
    clients_per_round=config.clients_in_a_round,
  )


def _never(config: Config, round_index: int) -> bool:
  del config, round_index
  return False


def _by_round(value: Callable[[Config, int], Any], config: Config) -> schedules.Schedule:
  return schedules.table([value(config, number) for number in range(config.rounds)])


def build_baseline(config: Config, prepared: Prepared) -> Process:
  """One of TFF's own algorithms on the same model and data."""
  return baselines.build_baseline(
    config.algorithm,
    prepared.model.in_training,
    _shards(config, prepared),
    learning_rate=config.learning_rate,
    momentum=config.momentum,
    prox_mu=config.prox_mu,
    clip_norm=config.clip_norm,
    noise_multiplier=config.dp_noise_multiplier,
    num_clients=config.clients_in_a_round,
    seed=config.seed,
  )
