"""From a run's settings to the parts of its defence."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fedsafe_tff.data import shards
from fedsafe_tff.data.shard_reader import read_named
from fedsafe_tff.runs import parts
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.training.copies import Copies
from fedsafe_tff.training.gradients import LocalGradient, Plain
from fedsafe_tff.training.registry import PARTS

_ASKED_BY = "defense"


def gradient(config: Config) -> LocalGradient:
  """What the clients' local steps follow."""
  make = config.parts.gradient
  if make is None:
    return Plain()
  offered = {
    "attack_eps": ("local_attack_eps", config.local_attack_eps),
    "steps": ("local_attack_steps", config.local_attack_steps),
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
  offered["gradient_clip"] = ("gradient_clip", config.gradient_clip)
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
  if make is None or (sigma == 0 and not config.heals_copies):
    return None
  offered: dict[str, tuple[str, Any]] = {"sigma": ("downlink_sigma", sigma)}
  if config.heals_copies:
    offered |= {
      "model": (_ASKED_BY, prepared.model),
      "adaptation": (_ASKED_BY, adaptation(config)),
      "data": (_ASKED_BY, server_data(prepared)),
    }
  return parts.build(make, config, offered, _ASKED_BY)


def server_data(prepared: Prepared) -> Callable[[], tuple[tf.Tensor, tf.Tensor]]:
  """Reads the server's images and labels where it is called."""
  store = prepared.store
  return lambda: read_named(store.directory, shards.SERVER, store.image_shape)
