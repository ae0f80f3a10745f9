"""What an attacker trains with his own images follows the run's settings."""

import dataclasses
import json
import types

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.runs import alone
from fedsafe_tff.runs.config import Config
from tests import small

MODEL = small.model(dropout=0.0)
PREPARED = types.SimpleNamespace(
  model=MODEL, store=types.SimpleNamespace(directory="shards", image_shape=(8, 8, 1))
)


def test_an_update_decays_weights_as_the_run_does(monkeypatch):
  images, labels = small.images(6, 0)
  own = tf.constant(images), tf.constant(labels, tf.int32)
  monkeypatch.setattr(alone, "read_client", lambda directory, client, shape: own)
  before = MODEL.init(keys.root(1))

  def updated(**changed):  # of one batch, at half the rate
    config = Config(defense="none", batch_size=6, local_epochs=1, learning_rate=0.5, **changed)
    return alone.local_update(config, PREPARED)(0, before, keys.root(2))

  for plain, decayed, start in zip(updated(), updated(weight_decay=0.2), before, strict=True):
    pulled = 0.25 * 0.2 * start if len(start.shape) > 1 else 0.0
    np.testing.assert_allclose(decayed, plain - pulled, rtol=1e-5, atol=1e-6)


def test_what_decides_these_trainings_is_told_apart():
  """Results that are kept image by image are those of one value of each."""
  plain = alone.decided_by(Config())
  for changed in ({"weight_decay": 0.1}, {"learning_rate": 0.5}, {"local_epochs": 3}):
    assert alone.decided_by(Config(**changed)) != plain
  assert alone.decided_by(Config(seed=1, evaluation="strong")) == plain
  assert json.loads(json.dumps(plain)) == plain


def test_a_surrogate_is_trained_once_for_all_attacks(monkeypatch, tmp_path):
  images, labels = small.images(6, 0)
  own = tf.constant(images), tf.constant(labels, tf.int32)
  read = []
  monkeypatch.setattr(alone, "read_client", lambda *given: read.append(given) or own)
  config = Config(defense="none", batch_size=6, rounds=1, local_epochs=1, augment="flip")
  prepared = types.SimpleNamespace(
    **vars(PREPARED), inputs=types.SimpleNamespace(data_hash="images")
  )

  def made(key=2, prepared=prepared, **changed):
    make = alone.surrogate(dataclasses.replace(config, **changed), prepared, tmp_path)
    return [np.asarray(weight) for weight in make(1, keys.root(key))]

  first = made()
  plain = alone.surrogate(config, prepared)(1, keys.root(2))
  assert len(read) == 2
  for again in (made(), made(evaluation="strong"), made(defense="server_adversarial_training")):
    for one, other, kept in zip(first, plain, again, strict=True):
      np.testing.assert_array_equal(one, kept)
      np.testing.assert_array_equal(other, kept)
  assert len(read) == 2
  others = types.SimpleNamespace(
    **vars(PREPARED), inputs=types.SimpleNamespace(data_hash="other images")
  )
  made(key=3), made(learning_rate=0.5), made(rounds=2), made(prepared=others)
  assert len(read) == 6
