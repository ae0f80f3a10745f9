"""Algorithm 1 and TFF's own algorithms behind one interface, for one round loop."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from fedsafe_tff import adaptation, aggregation, algorithm, baselines, client_work, keys
from fedsafe_tff.config import Config
from fedsafe_tff.data import shards
from fedsafe_tff.data.augment import parse_ops
from fedsafe_tff.experiment.noise import Noise
from fedsafe_tff.experiment.prepare import Prepared

Call = Callable[..., Any]  # invokes a TFF computation in the runtime


class Trainer(Protocol):
  """What the round loop needs of an algorithm."""

  def initialize(self) -> Any:
    """The state before the first round."""

  def next(self, state: Any, round_index: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Runs round `round_index` (from 0); returns the state and the metrics.

    The metrics hold `clients`, float32 [N, len(client_work.METRICS)] with NaN where the algorithm
    does not tell, and `adaptation`, float32 [3] or None.
    """

  def weights(self, state: Any) -> tuple[np.ndarray, ...]:
    """The global model."""

  def copies(self, state: Any) -> list[Sequence[np.ndarray]]:
    """What each client receives for use."""


def build_trainer(config: Config, prepared: Prepared, noise: Noise, call: Call) -> Trainer:
  """The trainer for `config.algorithm`."""
  if config.algorithm == "fedsafe":
    return FedSafeTrainer(config, prepared, noise, call)
  return BaselineTrainer(config, prepared, call)


class FedSafeTrainer:
  """Algorithm 1."""

  def __init__(self, config: Config, prepared: Prepared, noise: Noise, call: Call):
    self._config = config
    self._call = call
    self._clients = list(range(config.num_clients))
    self._noisy = noise.downlink_sigma > 0
    local = config.defense == "local_adversarial_training"
    work = client_work.ClientWork(
      epochs=config.local_epochs,
      batch_size=config.batch_size,
      momentum=config.momentum,
      gradient_clip=config.gradient_clip,
      augment=parse_ops(config.augment),
      upload=config.upload,
      clip_norm=config.clip_norm,
      uplink_sigma=noise.uplink_sigma,
      attack_steps=config.local_attack_steps if local else 0,
    )
    settings = None
    if config.adapts:
      settings = adaptation.Adaptation(
        attack=config.adaptation_attack,
        eps=config.adaptation_eps,
        steps=config.adaptation_steps,
        step_size=config.adaptation_step_size,
        random_start=config.adaptation_random_start,
        epochs=config.adaptation_epochs,
        learning_rate=config.adaptation_learning_rate,
        batch_size=config.adaptation_batch_size,
        gradient_clip=config.gradient_clip,
        share=config.adaptation_share,
        each_epoch=config.adaptation_examples == "each_epoch",
      )
    self._computations = algorithm.build_fedsafe(
      prepared.model,
      shard_dir=prepared.store.directory,
      num_clients=config.num_clients,
      work=work,
      aggregator=aggregation.build_aggregator(
        config.aggregator,
        clip_norm=config.clip_norm,
        noise_multiplier=config.dp_noise_multiplier,
        clients_per_round=config.num_clients,
      ),
      adaptation=settings,
      server_images=prepared.store.sizes[shards.SERVER],
      round_sigma=noise.downlink_sigma if config.downlink_schedule == "every" else 0.0,
      final_sigma=noise.downlink_sigma,
      # The map-reduce form of the other runtimes has no federated_select; the bits are the same.
      downlink=config.downlink if config.runtime == "native" else "map",
      seed=config.seed,
      noise_seed=noise.seed,
    )
    self._noise_seed = noise.seed

  def initialize(self) -> Any:
    """The state before the first round."""
    return self._call(self._computations.initialize)

  def next(self, state: Any, round_index: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Runs one round; see `Trainer`."""
    control = algorithm.control(
      adapt=self._adapts_in(round_index),
      learning_rate=learning_rate(self._config, round_index),
      local_attack_eps=local_attack_eps(self._config, round_index),
    )
    state, metrics = self._call(self._computations.next, state, control, self._clients)
    adapted = np.asarray(metrics["adaptation"])
    return state, {
      "clients": np.asarray(metrics["clients"]),
      "adaptation": adapted if self._adapts_in(round_index) else None,
    }

  def adapt(self, state: Any) -> tuple[Any, np.ndarray]:
    """Adapts the state that the last round left; returns it and the metrics, float32 [3].

    The bits are those of adaptation inside that round.
    """
    state, metrics = self._call(self._computations.adapt, state)
    return state, np.asarray(metrics)

  def with_noise(self, state: Any) -> Any:
    """A state that a training without noise left, with the key of this trainer's."""
    state = copy.copy(state)
    state["noise_key"] = keys.noise_root(self._noise_seed, self._config.seed).numpy()
    return state

  def _adapts_in(self, round_index: int) -> bool:
    config = self._config
    if not config.adapts:
      return False
    every = config.adaptation_every
    last = round_index == config.rounds - 1
    return last or (every > 0 and (round_index + 1) % every == 0)

  def weights(self, state: Any) -> tuple[np.ndarray, ...]:
    """The global model."""
    return tuple(state["weights"])

  def copies(self, state: Any) -> list[Sequence[np.ndarray]]:
    """What each client receives for use."""
    copies = self._call(self._computations.distribute, state, self._clients)
    if self._noisy:
      return list(copies)
    return [tuple(copies)] * len(self._clients)  # a broadcast value comes back once


class BaselineTrainer:
  """TFF's `build_weighted_fed_avg`, `build_weighted_fed_prox` and DP-FedAvg."""

  def __init__(self, config: Config, prepared: Prepared, call: Call):
    self._config = config
    self._call = call
    self._sizes = [len(rows) for rows in prepared.clients]
    self._process = baselines.build_baseline(
      config.algorithm,
      prepared.model,
      shard_dir=prepared.store.directory,
      epochs=config.local_epochs,
      batch_size=config.batch_size,
      learning_rate=config.learning_rate,
      momentum=config.momentum,
      augment=parse_ops(config.augment),
      prox_mu=config.prox_mu,
      clip_norm=config.clip_norm,
      noise_multiplier=config.dp_noise_multiplier,
      num_clients=config.num_clients,
      seed=config.seed,
    )

  def initialize(self) -> Any:
    """The state before the first round."""
    return self._call(self._process.initialize)

  def next(self, state: Any, round_index: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Runs one round; TFF tells only the aggregated loss and accuracy of training."""
    clients = [baselines.client_argument(c, round_index) for c in range(self._config.num_clients)]
    output = self._call(self._process.next, state, clients)
    train = output.metrics["client_work"]["train"]
    table = np.full([len(clients), len(client_work.METRICS)], np.nan, np.float32)
    table[:, client_work.METRICS.index("num_examples")] = self._sizes
    table[:, client_work.METRICS.index("loss")] = train["loss"]
    table[:, client_work.METRICS.index("accuracy")] = train["accuracy"]
    return output.state, {"clients": table, "adaptation": None}

  def weights(self, state: Any) -> tuple[np.ndarray, ...]:
    """The global model."""
    return tuple(np.asarray(w) for w in self._process.get_model_weights(state).trainable)

  def copies(self, state: Any) -> list[Sequence[np.ndarray]]:
    """Every client receives the global model as it is."""
    weights = tuple(tf.constant(w) for w in self.weights(state))
    return [weights] * self._config.num_clients


def learning_rate(config: Config, round_index: int) -> float:
  """Local learning rate in a round: constant, or a cosine from the full rate to zero."""
  if config.learning_rate_schedule == "cosine":
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * round_index / config.rounds))
  return config.learning_rate


def local_attack_eps(config: Config, round_index: int) -> float:
  """Perturbation of local adversarial training in a round, in pixels of [0, 1].

  It grows in equal parts over the warm-up, from the first round on, and is what was asked for in
  the rest: at least in the last quarter of the rounds. Fewer than four rounds have no warm-up.
  """
  if config.defense != "local_adversarial_training":
    return 0.0
  if config.rounds < 4:
    return config.local_attack_eps
  # Rounded, lest a product such as 0.07 * 100 = 7.000000000000001 be taken for eight rounds.
  warmup = math.ceil(round(config.local_attack_warmup * config.rounds, 6))
  warmup = min(warmup, config.rounds * 3 // 4)
  return config.local_attack_eps * min(1.0, (round_index + 1) / (warmup + 1))
