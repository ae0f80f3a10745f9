"""The floor of a FedAvg round: a bare `tf.function` loop over data in memory, no framework."""

import tensorflow as tf

from benchmarks.workload import LEARNING_RATE, SEED
from fedsafe_tff import keys


class BareRound:
  """FedAvg over clients one after another; the steps, and their randomness, are those of ours.

  `apart` keeps the gradient a function of its own in the loop, see `fedsafe_tff.apart`; with `xla`
  it is compiled by XLA.
  """

  def __init__(
    self,
    model,
    clients,
    *,
    batch_size: int,
    shuffle: bool = True,
    apart: bool = False,
    xla: bool = False,
  ):
    self._clients = [
      (tf.constant(images), tf.constant(labels, tf.int32)) for images, labels in clients
    ]
    root = keys.root(SEED)
    self._start = model.init(keys.fold(root, keys.INIT))
    self._key = keys.fold(root, keys.CLIENT_STREAM)
    self._train = _training(model, batch_size, shuffle, apart, xla)
    self.weights = self._start

  def __call__(self) -> None:
    """Round 0, always from the initial weights."""
    total = tf.cast(sum(len(labels) for _, labels in self._clients), tf.float32)
    mean = [tf.zeros_like(weight) for weight in self._start]
    for client, (images, labels) in enumerate(self._clients):
      trained = self._train(self._start, images, labels, keys.fold(self._key, 0, client))
      share = len(labels) / total
      mean = [m + share * weight for m, weight in zip(mean, trained)]
    self.weights = tuple(weight.numpy() for weight in mean)


def _training(model, batch_size, shuffle, apart, xla):
  images = tf.TensorSpec([None, *model.input_shape], tf.uint8)
  labels, key = tf.TensorSpec([None], tf.int32), keys.SPEC

  def step_gradient(weights, x, y, seed):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.apply(weights, x, seed=seed, training=True)
      loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    return tape.gradient(loss, weights)

  if xla:
    step_gradient = tf.function(step_gradient, jit_compile=True)
  elif apart:
    step_gradient = tf.function(step_gradient, experimental_attributes={"_noinline": True})

  @tf.function(input_signature=[model.weight_specs(), images, labels, key])
  def train(weights, images, labels, key):
    count = tf.shape(labels)[0]
    order = tf.range(count)
    if shuffle:
      order = tf.random.experimental.stateless_shuffle(
        order, keys.fold(key, keys.SHUFFLE, 0), alg=keys.ALG
      )
    for step in tf.range((count + batch_size - 1) // batch_size):
      rows = order[step * batch_size : (step + 1) * batch_size]
      x = tf.cast(tf.gather(images, rows), tf.float32) / 255.0
      y = tf.gather(labels, rows)
      gradients = step_gradient(weights, x, y, keys.fold(key, keys.DROPOUT, step))
      weights = tuple(w - LEARNING_RATE * g for w, g in zip(weights, gradients))
    return weights

  return train
