"""A client whose upload is not finite is left out, and the mean is that of the others."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import NotFinite, Scorer
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.training import local
from fedsafe_tff.training.upload import Upload
from tests import small

NET = small.net(dropout=0.0)
SGD = tff.learning.optimizers.build_sgdm(0.05)
BAD = 1


def apply(weights, images, key=None, training=False):
  """The net; white images, which only one client has, give no numbers."""
  white = tf.equal(tf.reduce_min(images, axis=[1, 2, 3]), 1.0)  # in TFF graphs == compares objects
  logits = NET.apply_fn(weights, images, key, training)
  return logits + tf.where(white[:, None], float("nan"), 0.0)


MODEL = FunctionalModel("net", small.SHAPE, 2, NET.init, apply, NET.weight_names)


def read_all_but_one(store):
  read = small.read_shards(store)

  def broken(client):
    images, labels = read(client)
    return tf.where(tf.equal(client, BAD), 255 * tf.ones_like(images), images), labels

  return broken


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """State before, state after and metrics of a round by kind of upload, in the device runtime."""
  store = small.store(tmp_path_factory.mktemp("shards"))
  made = {}
  with DeviceRuntime() as runtime:
    for kind in ("weights", "update"):
      for leave_out in (True, False):
        clients = Shards(read_all_but_one(store), batch_size=8, epochs=1)
        process = build_fed_safe(
          MODEL, client_optimizer=SGD, clients=clients, seed=5, upload=Upload(kind), noise_seed=6,
          leave_out_not_finite=leave_out,
        )
        state = runtime.call(process.initialize)
        output = runtime.call(process.next, state, [0, 1, 2])
        told = output.metrics["client_work"]["clients"]
        alone = [
          runtime.call(process.next, state, [c]).state.global_model_weights.trainable
          for c in (0, 2)
        ] if leave_out else None
        made[kind, leave_out] = (output.state.global_model_weights.trainable, told, alone)
  return made


@pytest.mark.parametrize("kind", ["weights", "update"])
def test_the_mean_is_that_of_the_others_weighted_by_their_images(trained, kind):
  mean, _, alone = trained[kind, True]
  sizes = [small.SIZES[0], small.SIZES[2]]
  for found, first, last in zip(mean, *alone, strict=True):
    by_hand = (sizes[0] * first + sizes[1] * last) / sum(sizes)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(first, last)


def test_the_client_is_marked_and_the_others_are_not(trained):
  _, told, _ = trained["weights", True]
  norms = dict(zip(told["client"].tolist(), told["metrics"][:, local.METRICS.index("norm")]))
  assert np.isnan(norms[BAD]) and np.isfinite([norms[0], norms[2]]).all()
  assert told["metrics"][:, 0].tolist() == list(map(float, small.SIZES))


def test_without_the_option_the_global_model_is_lost_and_shows_it(trained):
  mean, _, _ = trained["weights", False]
  assert not all(np.isfinite(weight).all() for weight in mean)


def test_predictions_never_hide_what_is_not_finite():
  weights = [np.array(w) for w in MODEL.init(keys.root(0))]
  images, _ = small.images(5, 0)
  assert Scorer(MODEL).predict(weights, images).shape == (5,)
  weights[-1][0] = np.nan
  with pytest.raises(NotFinite, match="not finite on 5 of 5 images"):
    Scorer(MODEL).predict(weights, images)


def test_where_nothing_can_be_left_out_the_flag_is_refused():
  config = Config(not_finite="leave_out", aggregator="median", upload="update")
  assert "not_finite" in config.inapplicable()
  with pytest.raises(UserError, match="leave out --not_finite"):
    Config(
      not_finite="leave_out", privacy="central", upload="update", clip_norm=1.0,
      noise_multiplier=1.0,
    )
