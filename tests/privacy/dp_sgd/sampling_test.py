"""Poisson sampling: each record by a coin of its own, at the stated rate."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.dp_sgd.sampling import PoissonFeed, poisson_rows
from fedsafe_tff.training import local
from tests import small

COUNT, RATE, DRAWS = 50, 0.13, 2000


@pytest.fixture(scope="module")
def drawn():
  """Who joined which batch, bool [draws, records]."""

  @tf.function(autograph=False)
  def draw(step):
    rows = poisson_rows(COUNT, RATE, keys.fold(keys.root(3), step))
    return tf.reduce_sum(tf.one_hot(rows, COUNT), 0)

  return np.stack([draw(tf.constant(step)) for step in range(DRAWS)])


def test_every_record_joins_at_the_stated_rate(drawn):
  error = np.sqrt(RATE * (1 - RATE) / DRAWS)
  assert np.abs(drawn.mean(0) - RATE).max() < 4.5 * error
  assert abs(drawn.mean() - RATE) < 4 * error / np.sqrt(COUNT)


def test_records_and_steps_join_independently(drawn):
  sizes = drawn.sum(1)
  variance = COUNT * RATE * (1 - RATE)  # batches of one size would have none
  assert abs(sizes.var() / variance - 1) < 5 * np.sqrt(2 / DRAWS)
  pairs = np.corrcoef(drawn.T) - np.eye(COUNT)
  assert np.abs(pairs).max() < 5 / np.sqrt(DRAWS)
  in_turn = [np.corrcoef(drawn[:-1, i], drawn[1:, i])[0, 1] for i in range(COUNT)]
  assert np.abs(in_turn).max() < 5 / np.sqrt(DRAWS)


def test_rate_one_takes_all():
  np.testing.assert_array_equal(poisson_rows(5, 1.0, keys.root(0)), range(5))


def test_a_feed_hands_out_each_batch_once():
  images, labels = small.images(20, seed=1)
  feed = PoissonFeed(
    tf.constant(images), tf.constant(labels, tf.int32), keys.root(2), rate=0.2, steps=15
  )

  @tf.function(autograph=False)
  def run():
    def step(number, x, y, counts, carry):
      seen, brightness, counted = carry
      size = tf.shape(y)[0]
      seen = tf.tensor_scatter_nd_update(seen, [[number]], [size])
      return seen, brightness + tf.reduce_sum(x), counted + counts

    return feed.fold(step, (tf.zeros([15], tf.int32), tf.constant(0.0), tf.constant(0.0)))

  sizes, brightness, counted = run()
  batches = [feed.batch(step) for step in range(15)]
  np.testing.assert_array_equal(sizes, [len(y) for _, y in batches])
  assert 0 in sizes.numpy() or len(set(sizes.numpy())) > 3
  by_hand = sum(float(tf.reduce_sum(x)) for x, _ in batches)
  np.testing.assert_allclose(brightness, by_hand, rtol=1e-5)
  assert counted == 5 and feed.count == 20
  x, y = batches[0]
  rows = feed.rows(0)
  np.testing.assert_array_equal(y, labels[rows])
  np.testing.assert_allclose(x, images[rows] / np.float32(255), rtol=1e-6)


def test_who_is_drawn_does_not_depend_on_what_the_records_are():
  feeds = [
    PoissonFeed(
      tf.zeros([20, 8, 8, 1], tf.uint8) + value, tf.fill([20], value), keys.root(2), rate=0.3,
      steps=3,
    )
    for value in (0, 1)
  ]
  for step in range(3):
    np.testing.assert_array_equal(feeds[0].rows(step), feeds[1].rows(step))


@pytest.mark.parametrize("rate", [0.0, 1.01, -0.1, float("nan")])
def test_a_rate_that_the_data_cannot_give(rate):
  with pytest.raises(UserError, match="must lie in"):
    PoissonFeed(tf.zeros([2, 8, 8, 1]), tf.zeros([2]), keys.root(0), rate=rate, steps=1)


def test_accuracy_and_loss_are_of_the_images_that_were_drawn():
  """Batches that count hold more images in all than the client has."""
  model = small.linear()
  images, labels = tf.zeros([6, *model.input_shape], tf.uint8), tf.zeros([6], tf.int32)
  feed = PoissonFeed(images, labels, keys.root(0), rate=0.9, steps=3)
  optimizer = tff.learning.optimizers.build_sgdm(1e-9)
  weights = [tf.zeros(spec.shape) for spec in model.weight_specs()]
  trained = local.train(model, weights, feed, keys.root(1), optimizer)
  assert trained.count == 6
  assert trained.accuracy == 1.0
  np.testing.assert_allclose(trained.loss, np.log(model.num_classes), rtol=1e-5)
