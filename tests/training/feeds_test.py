import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.training.feeds import BatchFeed, ImageFeed
from tests import small

IMAGES, _ = small.images(20, 0)
NUMBERS = tf.range(20)  # as labels, they tell which image is which


def seen(feed):
  """Labels in the order in which they come, the first pixel of each, and which steps count."""

  def note(number, x, y, counts, carry):
    labels, pixels, counted, begin = carry
    rows = tf.range(begin, begin + tf.size(y))[:, tf.newaxis]
    labels = tf.tensor_scatter_nd_update(labels, rows, y)
    pixels = tf.tensor_scatter_nd_update(pixels, rows, x[:, 0, 0, 0])
    counted = tf.tensor_scatter_nd_update(counted, [[number]], [counts])
    return labels, pixels, counted, begin + tf.size(y)

  @tf.function
  def run():
    empty = tf.fill([99], -1), tf.zeros([99]), tf.fill([99], -1.0), tf.constant(0)
    return feed.fold(note, empty)

  labels, pixels, counted, total = (value.numpy() for value in run())
  return labels[:total], pixels[:total], counted[counted >= 0]


def images(key=1, **settings):
  return ImageFeed(tf.constant(IMAGES), NUMBERS, keys.root(key), **({"batch_size": 8} | settings))


def test_every_epoch_has_each_image_once_in_an_order_of_its_own():
  labels, pixels, counted = seen(images(epochs=2))
  first, second = labels[:20], labels[20:]
  assert sorted(first) == sorted(second) == list(range(20))
  assert (first != second).any() and (first != np.arange(20)).any()
  np.testing.assert_allclose(pixels, IMAGES[labels, 0, 0, 0] / 255.0, rtol=1e-6)
  np.testing.assert_array_equal(counted, [0, 0, 0, 1, 1, 1])
  np.testing.assert_array_equal(seen(images(epochs=2))[0], labels)
  assert (seen(images(key=2))[0] != first).any()


def test_without_shuffling_the_images_come_as_they_are():
  labels, _, counted = seen(images(shuffle=False))
  np.testing.assert_array_equal(labels, np.arange(20))
  assert len(counted) == 3 and images().count == 20


def test_steps_can_be_asked_for_one_by_one():
  feed = images(epochs=2)
  labels = [feed.batch(step, feed.order(step // feed.steps_per_epoch))[1] for step in range(6)]
  assert feed.steps == 6 and [len(y) for y in labels] == [8, 8, 4, 8, 8, 4]
  np.testing.assert_array_equal(np.concatenate(labels), seen(feed)[0])


def test_augmentation_changes_images_and_not_their_order():
  plain, flipped = seen(images()), seen(images(ops=("flip",)))
  np.testing.assert_array_equal(plain[0], flipped[0])
  assert 3 < (plain[1] != flipped[1]).sum() < 18


def test_a_data_set_gives_its_batches_as_they_are():
  examples = tf.data.Dataset.from_tensor_slices((IMAGES, NUMBERS)).batch(6).repeat(2)
  labels, pixels, counted = seen(BatchFeed(examples))
  np.testing.assert_array_equal(labels, np.tile(np.arange(20), 2))
  np.testing.assert_allclose(pixels, IMAGES[labels, 0, 0, 0] / 255.0, rtol=1e-6)
  np.testing.assert_array_equal(counted, np.ones(8))
  assert len(seen(BatchFeed(examples.take(0)))[0]) == 0
