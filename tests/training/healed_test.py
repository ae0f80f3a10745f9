import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.training.adaptation import Adaptation, adapt
from fedsafe_tff.training.copies import Noise
from fedsafe_tff.training.healed import Healed
from tests import small

MODEL = small.net()
START = MODEL.init(keys.root(1))
SETTINGS = Adaptation(eps=0.05, steps=2, epochs=2, batch_size=8)


def data(seed=9):
  images, labels = small.images(17, seed)
  return tf.constant(images), tf.constant(labels, tf.int32)


def test_a_copy_is_the_adapted_noised_model():
  key = keys.root(7)
  copies = Healed(MODEL, SETTINGS, data, 0.1)
  expected, _ = adapt(
    MODEL, Noise(0.1)(START, key), *data(), keys.fold(key, keys.ADAPTATION), SETTINGS
  )
  for left, right in zip(copies(START, key), expected):
    np.testing.assert_array_equal(left, right)


def test_clients_differ_by_noise_and_by_order():
  without = Healed(MODEL, SETTINGS, data, 0.0)
  first, second = (without(START, keys.fold(keys.root(7), client)) for client in (0, 1))
  assert any((a.numpy() != b.numpy()).any() for a, b in zip(first, second))
  other = without.with_data(lambda: data(3))(START, keys.fold(keys.root(7), 0))
  assert any((a.numpy() != b.numpy()).any() for a, b in zip(first, other))


def test_a_negative_sigma_is_refused():
  with pytest.raises(UserError, match="sigma"):
    Healed(MODEL, SETTINGS, data, -1.0)
