"""Clients who flip labels or boost their update, and what the server then makes of it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning.aggregation import build_aggregator
from fedsafe_tff.learning.client_work import build_client_work
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.learning.poisoning import boosted, flip_labels
from fedsafe_tff.training.upload import Upload
from tests import small

FACTOR = 1000.0


@pytest.fixture(scope="module")
def read(tmp_path_factory):
  return small.read_shards(small.store(tmp_path_factory.mktemp("poisoned")))


def test_labels_of_some_clients_are_the_next_class(read):
  poisoned = flip_labels(read, [1], num_classes=2)
  for client in range(3):
    images, labels = read(tf.constant(client))
    same, found = poisoned(tf.constant(client))
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(found, 1 - labels if client == 1 else labels)


@pytest.mark.slow
def test_a_boosted_update_replaces_the_mean_and_not_the_median(runtime, read):
  model, clients = small.linear(), Shards(read, batch_size=8)
  optimizer = tff.learning.optimizers.build_sgdm(0.1)
  work = build_client_work(model, optimizer, clients=clients, upload=Upload("update"))

  def moved(name, stage):
    process = build_fed_safe(
      model,
      clients=clients,
      client_work=stage,
      upload=Upload("update"),
      model_aggregator=build_aggregator(name),
    )
    state = runtime.call(process.initialize)
    after = runtime.call(process.next, state, [0, 1, 2]).state
    before, now = (
      runtime.call(process.get_model_weights, s).trainable[0] for s in (state, after)
    )
    return np.asarray(now) - np.asarray(before)

  bad = boosted(work, [1], FACTOR)
  honest, replaced = moved("mean", work), moved("mean", bad)
  # The boosting client's part is its share of the examples, so many times over.
  alone = replaced - honest
  assert np.linalg.norm(alone) > 100 * np.linalg.norm(honest)
  for name in ("median", "trimmed_mean"):
    assert np.linalg.norm(moved(name, bad)) < 3 * np.linalg.norm(moved(name, work))


def test_a_boost_by_nothing_is_a_user_error(read):
  with pytest.raises(UserError, match="by a factor above 0, not by 0"):
    boosted(None, [0], 0)
