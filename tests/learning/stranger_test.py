"""A program of somebody who uses TFF and knows nothing of our drivers, as a process of its own."""

import os
import pathlib
import subprocess
import sys
import time

import psutil

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROGRAM = '''
import asyncio
import collections
import sys

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

import fedsafe_tff as fs

assert fs.learning.build_fed_safe and "tensorflow_federated" in sys.modules


def pixels(name):
  rng = np.random.default_rng(len(name))
  label = rng.integers(0, 2, 12).astype(np.int32)
  image = rng.uniform(0, 0.5, (12, 28, 28)).astype(np.float32) + 0.5 * label[:, None, None]
  return collections.OrderedDict(label=label, pixels=image)


people = tff.simulation.datasets.TestClientData(
  {name: pixels(name) for name in ("f0", "f0000_14", "f0001_4123", "f00")}
)


def preprocess(dataset):
  return dataset.repeat(2).batch(6).map(
    lambda e: (tf.reshape(e["pixels"], [-1, 784]), tf.reshape(e["label"], [-1, 1]))
  )


spec = preprocess(people.create_tf_dataset_for_client("f0")).element_spec


def model_fn():
  # With seeds of chance the loss does not always fall in four rounds.
  first, last = (tf.keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
  net = tf.keras.Sequential([
    tf.keras.layers.InputLayer(784),
    tf.keras.layers.Dense(8, activation="relu", kernel_initializer=first),
    tf.keras.layers.Dense(2, kernel_initializer=last),
  ])
  loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  return tff.learning.models.from_keras_model(net, loss=loss, input_spec=spec)


@tff.tensorflow.computation
def initial_weights():
  return tff.learning.models.ModelWeights.from_model(model_fn())


weights_type = initial_weights.type_signature.result
copies = fs.training.Noise(0.01)
sgd = tff.learning.optimizers.build_sgdm
templates = tff.learning.templates
process = templates.compose_learning_process(
  initial_weights,
  fs.learning.build_copy_distribution(weights_type, copies, in_rounds=True, seed=7),
  fs.learning.start_from_copies(
    templates.build_model_delta_client_work(
      model_fn, sgd(0.1), tff.learning.ClientWeighting.NUM_EXAMPLES
    ),
    copies,
  ),
  tff.aggregators.MeanFactory().create(weights_type.trainable, tff.TensorType(np.float32)),
  templates.build_apply_optimizer_finalizer(sgd(1.0), weights_type),
)


def pick(round_number):
  return fs.learning.from_client_data(people, people.client_ids[round_number % 2 :][:3], preprocess)


losses = []


class Losses(tff.program.ReleaseManager):
  async def release(self, value, key):
    losses.append(value["client_work"]["train"]["loss"])


def train(folder, rounds):
  manager = tff.program.FileProgramStateManager(folder)
  return tff.simulation.run_training_process(
    process, pick, rounds, program_state_manager=manager, metrics_managers=[Losses()]
  )


folder = sys.argv[1]
asyncio.set_event_loop(asyncio.new_event_loop())
for runtime in ("device", "native"):
  fs.runtime.use(runtime)
  losses.clear()
  whole = process.get_model_weights(train(f"{folder}/{runtime}/whole", 4)).trainable
  assert losses[-1] < losses[0], losses
  train(f"{folder}/{runtime}/parts", 2)
  # Goes on after round 2.
  parts = process.get_model_weights(train(f"{folder}/{runtime}/parts", 4)).trainable
  for left, right in zip(whole, parts, strict=True):
    np.testing.assert_array_equal(left, right)
  children = __import__("psutil").Process().children(True)
  print("children", runtime, *[child.pid for child in children])
'''


def test_their_loop_with_our_distributor_and_the_rest_of_tffs(tmp_path):
  program = tmp_path / "stranger.py"
  program.write_text(_PROGRAM)
  environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(_ROOT)}
  # Were a worker left behind, it would hold the pipe open, and this would wait for ever.
  done = subprocess.run(
    [sys.executable, str(program), str(tmp_path)],
    env=environment, capture_output=True, text=True, timeout=500,
  )
  assert done.returncode == 0, done.stderr
  told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("children")]
  children = {runtime: [int(pid) for pid in pids] for runtime, *pids in told}
  assert children["device"] == [] and 1 <= len(children["native"]) <= 2
  deadline = time.monotonic() + 10  # a killed process is there until its parent has looked
  while (left := [c for c in children["native"] if psutil.pid_exists(c)]) and (
    time.monotonic() < deadline
  ):
    time.sleep(0.1)
  assert not left
  assert "Traceback" not in done.stderr
