"""The same rounds for every runtime, and a program that runs them on three CPU devices.

The number of logical CPU devices must be set before TensorFlow starts, hence a program of its own:
`rounds.py FOLDER` reads the shards of `tests/small.py` from FOLDER and writes FOLDER/device.pickle.
"""

import dataclasses
import pathlib
import pickle
import sys

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.data.shard_reader import read_named
from fedsafe_tff.data.shards import SERVER
from fedsafe_tff.learning import aggregation, baselines
from fedsafe_tff.learning.clients import Shards, with_ids
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.training import schedules
from fedsafe_tff.training.adaptation import Adaptation
from fedsafe_tff.training.copies import Noise
from fedsafe_tff.training.gradients import Adversarial
from fedsafe_tff.training.healed import Healed
from fedsafe_tff.training.upload import Upload
from tests import small

SIGMA = 0.01
CLIENTS = [0, 1, 2]
_PIXELS = int(np.prod(small.SHAPE))


def logistic_regression():
  """The smallest model: with another, most of a test's time would go into building graphs."""
  return FunctionalModel(
    name="logistic",
    input_shape=small.SHAPE,
    num_classes=2,
    init_fn=lambda key: (tf.random.stateless_normal([_PIXELS, 2], key, stddev=0.1), tf.zeros([2])),
    apply_fn=lambda w, x, seed, training: tf.reshape(x, [-1, _PIXELS]) @ w[0] + w[1],
  )


def shards(store):
  """Clients that read their shards."""
  return Shards(small.read_shards(store), batch_size=8, augment=("flip",))


def build(
  store, model, *, aggregator="mean", downlink="map", clip_norm=0.0, copies=None, **settings
):
  """Algorithm 1 with noise both ways."""
  return build_fed_safe(
    model,
    client_optimizer=tff.learning.optimizers.build_sgdm(0.05),
    clients=shards(store),
    upload=Upload("update", clip_norm, SIGMA),
    model_aggregator=aggregation.build_aggregator(
      aggregator, clip_norm=1.0, noise_multiplier=1e-5, clients_per_round=len(CLIENTS)
    ),
    copies=copies or Noise(SIGMA),
    copies_in_rounds=True,
    downlink=downlink,
    seed=5,
    noise_seed=6,
    **settings,
  )


def network(call, store, downlink="map", rounds=3):
  """A network with convolution, pooling and dropout, every stage, and the costliest of its parts.

  Returns:
    State and metrics after the last round, which adapts; the same after adapting once more, in a
    call without clients; the clients' copies.
  """
  model = small.net()
  settings = Adaptation(eps=0.05, steps=2, epochs=2, batch_size=8)

  def data():
    return read_named(store.directory, SERVER, small.SHAPE)

  process = build(
    store,
    model,
    downlink=downlink,
    clip_norm=1.0,
    gradient=Adversarial(0.03, 2, loss="trades", weight_sigma=0.01),
    copies=Healed(model, settings, data, SIGMA),
    adaptation=dataclasses.replace(settings, examples="iterated", passes=3),
    adaptation_data=data,
    adapt_when=schedules.every(rounds),
  )
  state = call(process.initialize)
  for _ in range(rounds):
    state, metrics = call(process.next, state, CLIENTS)
  return state, metrics, call(process.adapt, state), call(process.distribute, state, CLIENTS)


def linear(call, store, downlink="map"):
  """Every stage with a model of one layer: clipping, noise both ways, adaptation on its examples.

  Clients train as the presets do, by a noised single step and with decay, and on MART with AWP.

  Returns:
    As `network`.
  """

  def data():
    return read_named(store.directory, SERVER, small.SHAPE)

  process = build(
    store, logistic_regression(), downlink=downlink, clip_norm=1.0, weight_decay=0.01,
    gradient=Adversarial(0.03, 1, attack_noise=1.0, loss="mart", weight_ascent=0.01),
    adaptation=Adaptation(eps=0.05, steps=2, epochs=2, batch_size=8), adaptation_data=data,
    adapt_when=schedules.every(2),
  )  # fmt: skip
  state = call(process.initialize)
  for _ in range(2):
    state, metrics = call(process.next, state, CLIENTS)
  return state, metrics, call(process.adapt, state), call(process.distribute, state, CLIENTS)


def aggregated(call, store, name):
  """State and metrics after two rounds with an aggregator of TFF's."""
  process = build(store, logistic_regression(), aggregator=name)
  state = call(process.initialize)
  for _ in range(2):
    state, metrics = call(process.next, state, CLIENTS)
  return state, metrics


def data_sets(call):
  """Weights after a round on data sets that are arguments; Ray can't ship those."""
  process = build_fed_safe(
    logistic_regression(), client_optimizer=tff.learning.optimizers.build_adam(0.01), seed=5
  )
  arguments = with_ids([small.batches(client) for client in CLIENTS])
  return call(process.next, call(process.initialize), arguments).state.global_model_weights


def baseline(call, store, name):
  """Weights and metrics after a round of TFF's own algorithm, whose clients are structures."""
  process = baselines.build_baseline(
    name, logistic_regression(), shards(store), learning_rate=0.05, clip_norm=1.0,
    noise_multiplier=1e-5, num_clients=len(CLIENTS), seed=5,
  )
  clients = [baselines.client_argument(k, 0) for k in CLIENTS]
  output = call(process.next, call(process.initialize), clients)
  assert isinstance(output, tff.learning.templates.LearningProcessOutput)
  return list(process.get_model_weights(output.state).trainable), output.metrics


def outcomes(call, store, downlink):
  """What the runtimes are compared by, as flat lists, which can be pickled."""
  found = {"network": network(call, store, downlink)}
  found |= {name: aggregated(call, store, name) for name in ("robust", "secure_sum", "central_dp")}
  found["tff_fed_prox"] = baseline(call, store, "tff_fed_prox")
  found["data_sets"] = data_sets(call)
  return {name: tf.nest.flatten(outcome) for name, outcome in found.items()}


def assert_same(left, right, **tolerance):
  """Same containers, same dtypes, and the same values, exactly or within a tolerance."""
  tf.nest.assert_same_structure(left, right)
  for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
    assert np.asarray(a).dtype == np.asarray(b).dtype
    if tolerance and np.asarray(a).dtype.kind == "f":
      np.testing.assert_allclose(a, b, **tolerance)
    else:
      np.testing.assert_array_equal(a, b)


def main(folder: str) -> None:
  from fedsafe_tff.runtime.device import DeviceRuntime

  store = small.store(folder)
  cpu = tf.config.list_physical_devices("CPU")[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
  with DeviceRuntime() as runtime:
    assert runtime.devices == ["CPU:0", "CPU:1", "CPU:2"]
    found = outcomes(runtime.call, store, "map")
  (pathlib.Path(folder) / "device.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
  main(*sys.argv[1:])
