"""What a client makes in this process with its own images alone: for attackers, and for use."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys, versions
from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.data.augment import parse_ops
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.runs import defenses
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.kept_models import Kept
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.training import feeds, local

Weights = Sequence[tf.Tensor | np.ndarray]
_OF_SURROGATES = (
  "batch_size", "learning_rate", "momentum", "gradient_clip", "weight_decay", "augment",
)  # fmt: skip
_SETTINGS = ("defense", "rounds", *_OF_SURROGATES)
MOST_EPOCHS = 24  # of a surrogate


def decided_by(config: Config) -> list[Any]:
  """What decides the trainings of this module beside the models and images they begin with."""
  names = [f.name for f in dataclasses.fields(config) if f.name.startswith("local_")]
  return [getattr(config, name) for name in (*_SETTINGS, *names)]


def local_update(
  config: Config, prepared: Prepared
) -> Callable[[int, Weights, tf.Tensor], Weights]:
  """(client, weights, key) to the weights after a round of local training, as the run trains.

  The rate is half the full one: a cosine's in the middle of the rounds, and not its end's, which
  changes nothing.
  """
  gradient, eps = defenses.gradient(config), config.local_attack_eps
  return _trainer(config, prepared, config.local_epochs, 0.5, gradient=gradient, attack_eps=eps)


def surrogate(
  config: Config, prepared: Prepared, folder: pathlib.Path | None = None
) -> Callable[[int, tf.Tensor], Weights]:
  """(client, key) to an undefended model of the client's images alone, from initial weights.

  It trains as often as the run does, for 24 epochs at most. That is half of what the suite `strong`
  takes where all clients hold one model, and depends on no defence.

  Args:
    config: The run's settings.
    prepared: Data and model.
    folder: Where the models are kept for the next attacks; None to train them every time.
  """
  epochs = min(config.rounds * config.local_epochs, MOST_EPOCHS)
  train = _trainer(config, prepared, epochs, 1.0)

  settings = [epochs, *(getattr(config, name) for name in _OF_SURROGATES)]

  def make(client: int, key: tf.Tensor) -> Weights:
    begins = prepared.model.init(keys.fold(key, keys.INIT))
    if folder is None:
      return train(client, begins, key)
    about = json.dumps([settings, prepared.inputs.data_hash, versions.of_models()])
    kept = Kept(folder, digest((*begins, key)) + about.encode())
    found = kept.find(client)
    if found is not None:
      return found[0]
    made = train(client, begins, key)
    kept.add(client, made)
    return made

  return make


def _trainer(config: Config, prepared: Prepared, epochs: int, share: float, **settings):
  model, store = prepared.model.in_training, prepared.store
  optimizer = tff.learning.optimizers.build_sgdm(
    share * config.learning_rate, config.momentum or None
  )
  images = tf.TensorSpec([None, *model.input_shape], tf.uint8)
  labels = tf.TensorSpec([None], tf.int32)

  @tf.function(
    input_signature=[model.weight_specs(), images, labels, keys.SPEC], autograph=False
  )
  def train(weights, x, y, key):
    feed = feeds.ImageFeed(
      x, y, key, batch_size=config.batch_size, epochs=epochs, ops=parse_ops(config.augment)
    )
    # The narrow network dies in its first steps without clipping, whatever trains it.
    clip = config.gradient_clip or 1.0
    trained = local.train(
      model, weights, feed, key, optimizer,
      gradient_clip=clip, weight_decay=config.weight_decay, **settings,
    )  # fmt: skip
    return trained.weights

  def make(client: int, weights: Weights, key: tf.Tensor) -> Weights:
    own = read_client(store.directory, tf.constant(client, tf.int32), store.image_shape)
    return train(tuple(tf.convert_to_tensor(w) for w in weights), *own, key)

  return make
