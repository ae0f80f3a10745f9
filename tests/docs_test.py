"""The page for users of TFF: its program runs, and its names are there."""

import re

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

import fedsafe_tff
from tests import small
from tests.source_tree import ROOT

_PAGE = (ROOT / "docs" / "tff_users.md").read_text()


def test_its_program_runs(runtime):
  (program,) = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
  layers = tf.keras.layers
  images = {str(client): small.images(size, client) for client, size in enumerate(small.SIZES)}
  given = {
    "keras_model": tf.keras.Sequential(
      [layers.InputLayer(small.SHAPE), layers.Flatten(), layers.Dense(2)]
    ),
    "images": images["0"][0],
    "labels": images["0"][1],
    "client_data": tff.simulation.datasets.TestClientData(
      {name: {"x": x, "y": y} for name, (x, y) in images.items()}
    ),
    "sampled_ids": ["2", "0"],
    "preprocess": lambda data: data.batch(8).map(
      lambda e: (tf.cast(e["x"], tf.float32) / 255.0, tf.cast(e["y"], tf.int32))
    ),
  }
  try:
    exec(program.replace("range(50)", "range(1)"), given)
  finally:
    fedsafe_tff.runtime.stop()
  assert [len(copy.trainable) for copy in given["copies"]] == [2, 2, 2]
  first, second = (copy.trainable[0] for copy in given["copies"][:2])
  assert abs(np.std(first - second) / (0.01 * np.sqrt(2)) - 1) < 0.2


def test_its_names_are_there():
  names = re.findall(r"\b(learning|training|models|runtime)\.(\w+)", _PAGE)
  ours = [pair for pair in names if pair != ("learning", "algorithms")]
  assert len(ours) > 20
  for package, name in ours:
    if (package, name) not in (("learning", "optimizers"), ("learning", "templates")):  # TFF's
      assert hasattr(getattr(fedsafe_tff, package), name), (package, name)
