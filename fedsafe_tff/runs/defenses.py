"""From a run's settings to the parts of its defence."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.attackers.makers import FromCopy
from fedsafe_tff.data import shards
from fedsafe_tff.data.shard_reader import read_client, read_named
from fedsafe_tff.runs import parts
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.training.copies import Copies, Noise
from fedsafe_tff.training.gradients import LocalGradient, Plain
from fedsafe_tff.training.registry import PARTS

_ASKED_BY = "defense"
_NO_FLAG = ""


def gradient(config: Config) -> LocalGradient:
  """What the clients' local steps follow."""
  make = config.parts.gradient
  if make is None:
    return Plain()
  offered = {
    "attack_eps": ("local_attack_eps", config.local_attack_eps),
    "steps": ("local_attack_steps", config.local_attack_steps),
    "attack_noise": ("local_attack_noise", config.local_attack_noise),
    "loss": ("local_loss", config.local_loss),
    "beta": ("local_loss_beta", config.local_loss_beta),
    "weight_sigma": ("local_weight_sigma", config.local_weight_sigma),
    "weight_ascent": ("local_weight_ascent", config.local_weight_ascent),
  }
  return parts.build(make, config, offered, _ASKED_BY)


def adaptation(config: Config) -> Any:
  """How the server adapts a model."""
  offered = {
    name: (f"adaptation_{name}", getattr(config, f"adaptation_{name}"))
    for name in (
      "attack", "eps", "steps", "step_size", "random_start", "epochs", "learning_rate",
      "batch_size", "share", "examples", "passes",
    )
  }  # fmt: skip
  # The flag has its effect in local training, whether an adaptation takes it or not.
  offered["gradient_clip"] = (_NO_FLAG, config.gradient_clip)
  make = config.parts.adaptation or PARTS["adaptation"].adaptation
  return parts.build(make, config, offered, _ASKED_BY)


def copies(config: Config, prepared: Prepared, sigma: float) -> Copies | None:
  """How the copies that clients receive are made; None where all receive the model.

  Args:
    config: The run's settings.
    prepared: Data and model.
    sigma: Standard deviation of the copies' noise.
  """
  make = config.parts.copies
  if make is None or (sigma == 0 and takes_sigma(config) and not config.heals_copies):
    return None
  offered = _offered_to_copies(config, prepared, sigma)
  offered["data"] = (_NO_FLAG, server_data(prepared))
  return parts.build(make, config, offered, _ASKED_BY)


def takes_sigma(config: Config) -> bool:
  """Whether copies are made with a noise of `--downlink_sigma`, as those of a user need not be."""
  make = config.parts.copies
  return make is not None and "sigma" in lazy.taken(make, {"sigma": 0.0})


def _offered_to_copies(
  config: Config, prepared: Prepared, sigma: float
) -> dict[str, tuple[str, Any]]:
  offered: dict[str, tuple[str, Any]] = {
    "sigma": ("downlink_sigma", sigma),
    "model": (_NO_FLAG, prepared.model.in_training),
  }
  if config.heals_copies:
    offered["adaptation"] = (_NO_FLAG, adaptation(config))
  return offered


def imitation(
  config: Config, prepared: Prepared, sigma: float, *, everybodys: bool = False
) -> FromCopy | None:
  """How an attacker makes copies in the defender's way, from his own copy and with his own images.

  Args:
    config: The run's settings.
    prepared: Data and model.
    sigma: Standard deviation of the copies' noise.
    everybodys: Whether he has the images of all clients.

  Returns:
    (client, weights, key) to weights; None where there are no copies, or they are made by noise
    alone, which an attacker draws himself at every step.
  """
  offered = _offered_to_copies(config, prepared, sigma)

  def data(client: int) -> tuple[tf.Tensor, tf.Tensor]:
    store = prepared.store
    each = [
      read_client(store.directory, tf.constant(one, tf.int32), store.image_shape)
      for one in (range(config.num_clients) if everybodys else (client,))
    ]
    return each[0] if len(each) == 1 else tuple(tf.concat(part, axis=0) for part in zip(*each))

  if config.parts.imitation is not None:
    offered["client_data"] = (_NO_FLAG, data)
    return parts.build(config.parts.imitation, config, offered, _ASKED_BY)
  way = copies(config, prepared, sigma)
  if way is None or isinstance(way, Noise):
    return None

  @functools.cache
  def of_client(client: int) -> Callable[..., Any]:
    mine = way.with_data(lambda: data(client)) if hasattr(way, "with_data") else way
    return tf.function(mine, input_signature=[prepared.model.weight_specs(), keys.SPEC])

  def make(client: int, weights: Sequence[tf.Tensor], key: tf.Tensor) -> Sequence[tf.Tensor]:
    return of_client(client)(tuple(tf.convert_to_tensor(w) for w in weights), key)

  return make


def server_data(prepared: Prepared) -> Callable[[], tuple[tf.Tensor, tf.Tensor]]:
  """Reads the server's images and labels where it is called."""
  store = prepared.store
  return lambda: read_named(store.directory, shards.SERVER, store.image_shape)
