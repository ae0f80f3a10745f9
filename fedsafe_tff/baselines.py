"""TFF's own algorithms on the same model, data, order of batches and dropout masks."""

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.data.augment import augment as augment_images
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.proximal import TowardsStart

NAMES = ("tff_fed_avg", "tff_fed_prox", "tff_dp_fed_avg")


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
    return tf.reduce_mean(
      tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )

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


CLIENT_TYPE = tff.StructType(
  [
    ("client", tff.TensorType(np.int32)),
    ("round", tff.TensorType(np.int32)),
  ]
)


def client_argument(client: int, round_index: int) -> Any:
  """A client's argument to a baseline's `next`."""
  return collections.OrderedDict(client=np.int32(client), round=np.int32(round_index))


def build_client_data(
  model: FunctionalModel,
  *,
  shard_dir: str,
  epochs: int,
  batch_size: int,
  augment: tuple[str, ...],
  seed: int,
  shuffle: bool = True,
) -> tff.Computation:
  """From a client's argument to its batches, in the order that our own client work takes them."""
  root = tf.get_static_value(keys.fold(keys.root(seed), keys.CLIENT_STREAM))

  @tff.tensorflow.computation(CLIENT_TYPE)
  def client_data(argument):
    images, labels = read_client(shard_dir, argument["client"], model.input_shape)
    key = keys.fold(tf.constant(root), argument["round"], argument["client"])
    count = tf.shape(labels)[0]
    steps_per_epoch = (count + batch_size - 1) // batch_size

    def batch(step):
      step = tf.cast(step, tf.int32)
      epoch, position = step // steps_per_epoch, step % steps_per_epoch
      order = tf.range(count)
      if shuffle:
        order = tf.random.experimental.stateless_shuffle(
          order, keys.fold(key, keys.SHUFFLE, epoch), alg=keys.ALG
        )
      rows = order[position * batch_size : (position + 1) * batch_size]
      x = tf.cast(tf.gather(images, rows), tf.float32) / 255.0
      if augment:
        changed = augment_images(x, keys.fold(key, keys.AUGMENT, step), augment)
        # A rotation forgets the static shape, which TFF compares with the model's.
        x = tf.ensure_shape(changed, [None, *model.input_shape])
      return (x, keys.fold(key, keys.DROPOUT, step)), tf.gather(labels, rows)

    return tf.data.Dataset.range(tf.cast(epochs * steps_per_epoch, tf.int64)).map(batch)

  return client_data


def build_baseline(
  name: str,
  model: FunctionalModel,
  *,
  shard_dir: str,
  epochs: int,
  batch_size: int,
  learning_rate: float,
  momentum: float = 0.0,
  augment: tuple[str, ...] = (),
  prox_mu: float = 0.0,
  clip_norm: float = 1.0,
  noise_multiplier: float = 1.0,
  num_clients: int = 1,
  seed: int = 0,
  shuffle: bool = True,
) -> tff.learning.templates.LearningProcess:
  """One of TFF's algorithms, with clients given as `client_argument`.

  Args:
    name: "tff_fed_avg" or "tff_fed_prox", weighted by examples, or "tff_dp_fed_avg", unweighted
      with central Gaussian noise that TFF draws from an unseeded generator.
    model: The functional model.
    shard_dir: Folder of the shards.
    epochs: Local epochs.
    batch_size: Local batch size.
    learning_rate: Of local SGD.
    momentum: Of local SGD.
    augment: Augmentations.
    prox_mu: Strength of the proximal term.
    clip_norm: Clipping norm of DP-FedAvg.
    noise_multiplier: Noise over clipping norm of DP-FedAvg.
    num_clients: Clients in every round.
    seed: Of initial weights, order, augmentation and dropout.
    shuffle: Whether every epoch has its own order.
  """
  tff_model = as_tff_model(model, keys.fold(keys.root(seed), keys.INIT))
  optimizer = tff.learning.optimizers.build_sgdm(learning_rate, momentum or None)
  server = tff.learning.optimizers.build_sgdm(1.0)
  if name == "tff_fed_avg":
    process = tff.learning.algorithms.build_weighted_fed_avg(tff_model, optimizer, server)
  elif name == "tff_fed_prox":
    if prox_mu > 0:
      optimizer = TowardsStart(optimizer, prox_mu)
    process = tff.learning.algorithms.build_weighted_fed_prox(tff_model, prox_mu, optimizer, server)
  elif name == "tff_dp_fed_avg":
    process = tff.learning.algorithms.build_unweighted_fed_avg(
      tff_model,
      optimizer,
      server,
      model_aggregator=tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
        noise_multiplier=noise_multiplier, clients_per_round=num_clients, clip=clip_norm
      ),
    )
  else:
    raise UserError(f"baseline {name} is unknown: choose one of {', '.join(NAMES)}")
  data = build_client_data(
    model,
    shard_dir=shard_dir,
    epochs=epochs,
    batch_size=batch_size,
    augment=augment,
    seed=seed,
    shuffle=shuffle,
  )
  return tff.simulation.compose_dataset_computation_with_learning_process(data, process)
