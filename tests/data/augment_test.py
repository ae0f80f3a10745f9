import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data.augment import OPS, augment, parse_ops
from fedsafe_tff.errors import UserError

X = tf.constant(np.random.default_rng(0).uniform(0, 1, (40, 9, 9, 3)), tf.float32)


@pytest.mark.parametrize("op", OPS)
def test_every_augmentation_is_keyed_varied_and_in_range(op):
  run = tf.function(lambda key: augment(X, key, (op,)))
  first, again, other = (run(keys.root(s)).numpy() for s in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any() and first.shape == X.shape
  assert first.min() >= 0 and first.max() <= 1
  changed = (first != X.numpy()).any(axis=(1, 2, 3))
  assert 0.25 < changed.mean()


@pytest.mark.parametrize("op", ["flip", "flip_ud", "rot90"])
def test_moves_keep_every_pixel(op):
  made = augment(X, keys.root(3), (op,)).numpy()
  choices = {
    "flip": [X.numpy(), X.numpy()[:, :, ::-1]],
    "flip_ud": [X.numpy(), X.numpy()[:, ::-1]],
    "rot90": [np.rot90(X.numpy(), k, axes=(1, 2)) for k in range(4)],
  }[op]
  hits = np.stack([(made == c).all(axis=(1, 2, 3)) for c in choices])
  assert (hits.sum(0) == 1).all() and (hits.sum(1) > 0).all()


def test_small_rotations_keep_the_centre():
  x = np.zeros((30, 11, 11, 1), np.float32)
  x[:, 5, 5] = 1.0
  made = augment(tf.constant(x), keys.root(0), ("rotate",)).numpy()
  np.testing.assert_allclose(made[:, 5, 5], 1.0, atol=1e-5)


def test_names_are_checked():
  assert parse_ops("flip, color") == ("flip", "color") and parse_ops("") == ()
  with pytest.raises(UserError, match="mirror"):
    parse_ops("mirror")
