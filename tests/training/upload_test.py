import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.training.upload import Upload

RNG = np.random.default_rng(0)
RECEIVED, TRAINED = (
  tuple(tf.constant(RNG.normal(size=size), tf.float32) for size in ((60, 70), (900,)))
  for _ in range(2)
)


def made(kind="weights", key=2, **settings):
  return Upload(kind, **settings)(TRAINED, RECEIVED, keys.root(key))


def flat(tensors):
  return np.concatenate([np.ravel(t) for t in tensors])


def test_without_clip_and_noise_the_weights_or_their_difference_go_up():
  np.testing.assert_array_equal(flat(made().tensors), flat(TRAINED))
  np.testing.assert_array_equal(flat(made("update").tensors), flat(RECEIVED) - flat(TRAINED))
  assert made().clipped == made().noise_to_signal == 0
  assert np.isclose(made().norm, np.linalg.norm(flat(TRAINED)))


def test_clipping_is_exact_and_reported():
  short = made(clip_norm=0.5)
  assert np.isclose(np.linalg.norm(flat(short.tensors)), 0.5, atol=1e-5) and short.clipped == 1
  assert short.norm == made().norm
  kept = made(clip_norm=1e6)
  assert kept.clipped == 0
  np.testing.assert_array_equal(flat(kept.tensors), flat(TRAINED))


def test_noise_has_the_moments_and_is_keyed():
  def noise(key):
    noised = made(key=key, sigma=0.3)
    values = flat(noised.tensors) - flat(TRAINED)
    ratio = np.linalg.norm(values) / np.linalg.norm(flat(TRAINED))
    assert np.isclose(noised.noise_to_signal, ratio, 1e-3)
    return values

  first, again, other = noise(2), noise(2), noise(3)
  np.testing.assert_array_equal(first, again)
  size = len(first)
  assert abs(first.mean()) < 4 * 0.3 / np.sqrt(size)
  assert abs(first.std() / 0.3 - 1) < 4 / np.sqrt(2 * size)
  assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(size)


def test_noise_without_a_key():
  with pytest.raises(ValueError, match="needs a key"):
    Upload(sigma=0.3)(TRAINED, RECEIVED, None)


def test_an_update_carries_the_noise_of_the_weights_that_it_stands_for():
  weights = flat(made(sigma=0.3).tensors)
  reached = flat(RECEIVED) - flat(made("update", sigma=0.3).tensors)
  np.testing.assert_allclose(reached, weights, atol=1e-5)


@pytest.mark.parametrize(
  "settings, match",
  [({"kind": "both"}, "weights or update"), ({"clip_norm": -1.0}, "clip_norm is -1"),
   ({"sigma": float("nan")}, "sigma is nan")],
)
def test_settings_that_cannot_be(settings, match):
  with pytest.raises(UserError, match=match):
    Upload(**settings)
