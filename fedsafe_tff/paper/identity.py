"""What of a configuration decides about a training, an adapted model, an evaluation.

Two cells whose settings agree in what affects a stage share its result. Settings at their defaults
don't enter a hash, so that a new setting leaves the cache valid; a stored configuration is
compared with the wanted one as well, so that a changed default is noticed. Images and a user's
model are no settings: their identity (`experiment.inputs`) stands beside the hash.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from fedsafe_tff.runs.config import Config
from fedsafe_tff.training import own

_DIGITS = 12
_PARTS = {"gradient": "local", "adaptation": "adaptation"}
# As they were called before defences were made of parts.
_NAMES = {
  (): "none",
  ("local",): "local_adversarial_training",
  ("adaptation",): "server_adversarial_training",
}
# Settings of the evaluation that `runs.trials.Kept` compares; the labels stand with each trial.
_OF_TRIALS = ("attack_colluders", "evaluation_batch_size")


def training_config(config: Config) -> Config:
  """The configuration of the training alone: no attacks, no adaptation and downlink noise.

  Those come after the last round. Local adversarial training is a part of the rounds and stays.
  """
  changes: dict[str, Any] = {"keep_checkpoints": 2}
  changes["defense"] = _only(config, "gradient")
  return dataclasses.replace(config.without_attacks(), **changes).normalized()


def adapted_config(config: Config) -> Config:
  """The configuration up to the adapted model, which is the same with and without noise."""
  changes: dict[str, Any] = dataclasses.asdict(training_config(config))
  changes |= {name: value for name, value in dataclasses.asdict(config).items() if "adapt" in name}
  if config.adapts:
    changes["defense"] = _only(config, "gradient", "adaptation")
  return Config(**changes).normalized()


def _only(config: Config, *slots: str) -> str:
  """The name of the defence that has those parts of the configuration's alone."""
  users = own.slots_of(config.defense)
  names = tuple(
    users.get(slot, _PARTS[slot]) for slot in slots if getattr(config.parts, slot) is not None
  )
  return _NAMES.get(names, "+".join(names))


def evaluation_config(config: Config, eps: float) -> Config:
  """The configuration up to one attack at one size."""
  return dataclasses.replace(config, attack_eps=(eps,)).normalized()


def trials_config(config: Config) -> Config:
  """The configuration up to the copies, with what all trials of a suite share: suites may too."""
  shared = {name: getattr(config, name) for name in _OF_TRIALS}
  return dataclasses.replace(copies_config(config), **shared)


def digest(config: Config, **more: Any) -> str:
  """Hash of the settings that change results, and of `more`."""
  return _hash(config.identity() | more)


def _hash(facts: dict[str, Any]) -> str:
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def training_name(config: Config, inputs: str = "") -> str:
  """Name of the folder of the training that `config` needs.

  Args:
    config: All settings; those of the training decide.
    inputs: `Inputs.identity`; without it, what the names of all such trainings begin with.
  """
  wanted = training_config(config)
  name = f"{_label(wanted)}-{digest(wanted)}"
  return f"{name}-{inputs[:_DIGITS]}" if inputs else name


def old_training_name(config: Config) -> str:
  """Its name before the identity of images and model was a part of it."""
  wanted = training_config(config)
  return f"{_label(wanted)}-{old_digest(wanted)}"


def old_digest(config: Config, **more: Any) -> str:
  """What `digest` was at that time, when noise followed the seed.

  It held the folder of a user's own images; that of a public data set might move.
  """
  settings = {name: value for name, value in config.identity().items() if name != "noise_seed"}
  folder = "folder" if config.data_dir and config.dataset == "pathology" else ""
  if config.dataset in ("image_folder", "npz"):
    folder = str(pathlib.Path(config.data_dir).expanduser().resolve())
  return _hash(settings | {"data": folder} | more)


def _label(config: Config) -> str:
  return f"{config.task or config.dataset}-seed{config.seed}"


def agrees(wanted: Config, stored: dict[str, Any]) -> bool:
  """Whether a stored `as_dict` gives the results of `wanted`; settings new since then are ignored.

  Such a setting has its default in `wanted`: any other value would have changed the hash.
  """
  mine = wanted.as_dict()
  return not wanted.differences(mine | {k: v for k, v in stored.items() if k in mine})


def copies_config(config: Config) -> Config:
  """The configuration up to what every client receives: no attacks."""
  return config.without_attacks().normalized()
