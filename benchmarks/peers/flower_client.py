"""A client of `flower_rounds.py`, in an actor of Ray."""

import numpy as np
import tensorflow as tf
from flwr import client

from benchmarks import keras_cnn
from benchmarks.peers.serve import Task

# Lives as long as the actor: images by client, and the model if it is kept.
_images: dict[int, tuple[np.ndarray, np.ndarray]] = {}
_models: list[tf.keras.Model] = []


class _Client(client.NumPyClient):
  def __init__(self, model: tf.keras.Model, images, labels, batch_size: int):
    self._model = model
    self._images, self._labels, self._batch_size = images, labels, batch_size

  def fit(self, parameters, config):
    self._model.set_weights(parameters)
    self._model.fit(
      self._images, self._labels, batch_size=self._batch_size, epochs=1, shuffle=False, verbose=0
    )
    return self._model.get_weights(), len(self._labels), {}


def _compiled_model(task: Task) -> tf.keras.Model:
  model = task.keras_model()
  model.compile(tf.keras.optimizers.SGD(task.settings["learning_rate"]), loss=keras_cnn.loss())
  return model


def make(folder: str, index: int, keep_model: bool):
  """Client `index` of a task folder; its model is new, as in Flower's quickstart, or kept."""
  task = Task.read(folder)
  if index not in _images:
    images, labels = task.client(index)
    _images[index] = images.astype(np.float32) / np.float32(255), labels
  if not keep_model:
    tf.keras.backend.clear_session()  # or the old models' graphs would stay
    model = _compiled_model(task)
  else:
    if not _models:
      _models.append(_compiled_model(task))
    model = _models[0]
  return _Client(model, *_images[index], task.settings["batch_size"]).to_client()
