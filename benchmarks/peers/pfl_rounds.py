"""Rounds of pfl-research's TensorFlow simulator, see `benchmarks.program`.

python -m benchmarks.peers.pfl_rounds TASK

It runs in pfl's own environment. A round is an iteration of pfl's loop, without evaluation.
"""

import argparse
import time

import tensorflow as tf
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.data.tensorflow import TFTensorDataset
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.tensorflow import TFModel

from benchmarks import keras_cnn
from benchmarks.peers.serve import Server, Task

_MANY = 10**6


class _Timer(TrainingProcessCallback):
  """Starts every iteration from the initial weights and when it is asked for."""

  def __init__(self, task: Task, server: Server):
    self._start = task.start()
    self._server = server
    self._requests = server.requests()
    self._begun = 0.0

  def _wait(self, model: TFModel) -> bool:
    """Whether to stop."""
    stop = next(self._requests, "end") == "end"
    model.keras_model.set_weights(self._start)
    self._begun = time.perf_counter()
    return stop

  def on_train_begin(self, *, model):
    if self._wait(model):
      raise SystemExit
    return Metrics()

  def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
    weights = model.keras_model.get_weights()
    self._server.answer(time.perf_counter() - self._begun, weights)
    return self._wait(model), Metrics()


def _datasets(task: Task) -> FederatedDataset:
  users = list(range(task.settings["clients"]))

  def dataset(user):
    images, labels = task.client(user)
    return TFTensorDataset(tf.cast(images, tf.float32) / 255.0, tf.constant(labels))

  made = {user: dataset(user) for user in users}
  return FederatedDataset(made.__getitem__, get_user_sampler("minimize_reuse", users))


def main() -> None:
  """Runs rounds as they are asked for."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("task")
  task = Task.read(parser.parse_args().task)
  server = Server(task)
  settings = task.settings
  # pfl sets `lr` of the optimizer, which only the legacy ones take.
  optimizers = tf.keras.optimizers.legacy
  keras_model = task.keras_model()
  keras_model.compile(optimizers.SGD(settings["learning_rate"]), loss=keras_cnn.loss())
  FederatedAveraging().run(
    backend=SimulatedBackend(_datasets(task), None, postprocessors=[WeightByDatapoints()]),
    model=TFModel(keras_model, metrics={}, central_optimizer=optimizers.SGD(1.0)),
    algorithm_params=NNAlgorithmParams(
      central_num_iterations=_MANY,
      evaluation_frequency=_MANY,
      train_cohort_size=settings["clients"],
      val_cohort_size=None,
    ),
    model_train_params=NNTrainHyperParams(
      local_num_epochs=1,
      local_learning_rate=settings["learning_rate"],
      local_batch_size=settings["batch_size"],
    ),
    model_eval_params=NNEvalHyperParams(local_batch_size=settings["batch_size"]),
    callbacks=[_Timer(task, server)],
  )


if __name__ == "__main__":
  main()
