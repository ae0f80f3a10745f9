"""TFF's own algorithms on the same model, data, order of batches and dropout masks."""

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys, lazy
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.registry import ALGORITHMS
from fedsafe_tff.models.functional import FunctionalModel


def as_tff_model(model: FunctionalModel, key: tf.Tensor) -> tff.learning.models.FunctionalModel:
  """The model in TFF's form; an input is (images, key of the dropout mask).

  Args:
    model: Our functional model.
    key: int64 [2] from which the initial weights are drawn.
  """
  image_spec = tf.TensorSpec([None, *model.input_shape], tf.float32)
  input_spec = (
    (image_spec, keys.SPEC),
    tf.TensorSpec([None], tf.int32),
  )

  @tf.function
  def predict(weights, x, training):
    images, seed = x
    return model.apply(weights[0], images, seed=seed, training=training)

  def loss(logits, labels, sample_weight=None):
    del sample_weight
    return tf.reduce_mean(model.losses(logits, labels))

  def metrics():
    return collections.OrderedDict(
      loss=tf.keras.metrics.SparseCategoricalCrossentropy(from_logits=True),
      accuracy=tf.keras.metrics.SparseCategoricalAccuracy(),
      num_examples=tff.learning.metrics.NumExamplesCounter(),
    )

  return tff.learning.models.FunctionalModel(
    initial_weights=(tuple(w.numpy() for w in model.init(key)), ()),
    predict_on_batch_fn=predict,
    loss_fn=loss,
    metrics_fns=tff.learning.metrics.create_functional_metric_fns(metrics),
    input_spec=input_spec,
  )


CLIENT_TYPE = tff.StructType([("client", types.CLIENT), ("round", types.ROUND)])


def client_argument(client: int, round_index: int) -> Any:
  """A client's argument to a baseline's `next`."""
  return collections.OrderedDict(client=np.int32(client), round=np.int32(round_index))


def build_client_data(model: FunctionalModel, shards: Shards, seed: int) -> tff.Computation:
  """From a client's argument to its batches, in the order that our own client work takes them."""
  root = tf.get_static_value(types.stream(seed, keys.CLIENT_STREAM))

  @tff.tensorflow.computation(CLIENT_TYPE)
  def client_data(argument):
    key = keys.fold(tf.constant(root), argument["round"], argument["client"])
    feed = shards.feed_of(argument["client"], key)

    def batch(step):
      step = tf.cast(step, tf.int32)
      x, y = feed.batch(step, feed.order(step // feed.steps_per_epoch))
      # A rotation forgets the static shape, which TFF compares with the model's.
      x = tf.ensure_shape(x, [None, *model.input_shape])
      return (x, keys.fold(key, keys.DROPOUT, step)), y

    return tf.data.Dataset.range(tf.cast(feed.steps, tf.int64)).map(batch)

  return client_data


def build_baseline(
  name: str,
  model: FunctionalModel,
  shards: Shards,
  *,
  learning_rate: float,
  momentum: float = 0.0,
  server_optimizer: tff.learning.optimizers.Optimizer | None = None,
  prox_mu: float = 0.0,
  clip_norm: float = 1.0,
  noise_multiplier: float = 1.0,
  num_clients: int = 1,
  seed: int = 0,
) -> tff.learning.templates.LearningProcess:
  """One of TFF's algorithms, with clients given as `client_argument`.

  Args:
    name: Key of `registry.ALGORITHMS`: FedAvg, FedProx and Mime Lite are weighted by examples;
      DP-FedAvg is unweighted, with central Gaussian noise that TFF draws from an unseeded
      generator.
    model: The functional model.
    shards: The clients' images and batches.
    learning_rate: Of local SGD.
    momentum: Of local SGD; under Mime Lite the server's, which clients apply but don't change.
    server_optimizer: Takes the aggregate as a gradient; None is SGD of rate 1.
    prox_mu: Strength of the proximal term.
    clip_norm: Clipping norm of DP-FedAvg.
    noise_multiplier: Noise over clipping norm of DP-FedAvg.
    num_clients: Clients in every round.
    seed: Of initial weights, order, augmentation and dropout.

  Raises:
    UserError: The name is unknown.
  """
  if name not in ALGORITHMS:
    raise UserError(f"baseline {name} is unknown: choose one of {', '.join(ALGORITHMS)}")
  offered = {
    "prox_mu": prox_mu,
    "dp": lambda: tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
      noise_multiplier=noise_multiplier, clients_per_round=num_clients, clip=clip_norm
    ),
  }
  process = ALGORITHMS[name](
    as_tff_model(model, keys.fold(keys.root(seed), keys.INIT)),
    tff.learning.optimizers.build_sgdm(learning_rate, momentum or None),
    server_optimizer or tff.learning.optimizers.build_sgdm(1.0),
    **lazy.taken(ALGORITHMS[name], offered),
  )
  data = build_client_data(model, shards, seed)
  return tff.simulation.compose_dataset_computation_with_learning_process(data, process)
