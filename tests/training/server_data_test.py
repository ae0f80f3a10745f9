import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.training.server_data import server_data
from tests import small

IMAGES, LABELS = small.images(17, 9)
MODEL = small.linear()
EXAMPLES = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


@pytest.mark.parametrize(
  "data",
  [(IMAGES, LABELS), EXAMPLES, EXAMPLES.batch(5), lambda: EXAMPLES, lambda: (IMAGES, LABELS),
   EXAMPLES.batch(5).map(lambda x, y: {"x": x, "y": tf.cast(y, tf.int32)[:, tf.newaxis]})],
)
def test_every_form_gives_the_same_images(data):
  read = server_data(data, MODEL)

  @tf.function
  def inside():
    images, labels = read()
    assert images.shape == IMAGES.shape and labels.shape == LABELS.shape
    return images, labels

  images, labels = inside()
  np.testing.assert_array_equal(images, IMAGES)
  np.testing.assert_array_equal(labels, LABELS)
  assert images.dtype == tf.uint8 and labels.dtype == tf.int32


@pytest.mark.parametrize(
  "data, match",
  [((IMAGES[:, :8], LABELS), r"shape \[17, 8, 16, 1\].*\(16, 16, 1\)"),
   ((IMAGES, LABELS[:5]), "17 images, but 5 labels"),
   ((IMAGES.astype(np.int32), LABELS), "int32: give uint8"),
   ((IMAGES[:0], LABELS[:0]), r"shape \[0, 16"), (EXAMPLES.take(0), "empty"),
   (IMAGES, "two arrays.*ndarray")],
)
def test_data_that_cannot_be_used(data, match):
  with pytest.raises(UserError, match=match):
    server_data(data, MODEL)
