import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.norms import NORMS

RNG = np.random.default_rng(0)
X = tf.constant(RNG.uniform(0, 1, (30, 4, 5, 2)), tf.float32)
FAR = tf.constant(RNG.normal(0, 2, (30, 4, 5, 2)), tf.float32)
RADIUS = {"linf": 0.1, "l2": 0.7}


def length(name, change):
  flat = np.asarray(change).reshape(len(change), -1).astype(np.float64)
  return np.abs(flat).max(1) if name == "linf" else np.linalg.norm(flat, axis=1)


@pytest.mark.parametrize("name", NORMS)
def test_lengths(name):
  np.testing.assert_allclose(NORMS[name].length(FAR), length(name, FAR), rtol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_a_projected_point_is_in_the_ball_and_in_the_range(name):
  made = NORMS[name].project(X, X + FAR, RADIUS[name]).numpy()
  assert made.min() >= 0 and made.max() <= 1
  assert length(name, made - X).max() <= RADIUS[name] + 1e-5
  near = 0.5 + 0.001 * (X - 0.5)
  np.testing.assert_allclose(NORMS[name].project(X * 0 + 0.5, near, RADIUS[name]), near, atol=1e-6)


def test_an_l2_projection_is_the_nearest_point():
  made = NORMS["l2"].into_ball(FAR, 0.7).numpy()
  np.testing.assert_allclose(made, 0.7 * FAR / length("l2", FAR)[:, None, None, None], rtol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_directions_have_length_1_and_raise_most(name):
  made = NORMS[name].direction(FAR).numpy()
  np.testing.assert_allclose(length(name, made), 1.0, rtol=1e-5)
  others = [NORMS[name].random_change(tf.shape(X), 1.0, keys.root(seed)) for seed in range(20)]
  rise = (made * FAR).numpy().sum((1, 2, 3))
  assert all((rise >= (other * FAR).numpy().sum((1, 2, 3))).all() for other in others)
  assert not NORMS[name].direction(tf.zeros_like(X)).numpy().any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_an_l2_direction_does_not_depend_on_the_gradients_size(scale):
  made = NORMS["l2"].direction(FAR * scale)
  np.testing.assert_allclose(made, NORMS["l2"].direction(FAR), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NORMS)
def test_random_changes_are_uniform_in_the_ball(name):
  shape = tf.constant([20000, 1, 3, 1])
  made = NORMS[name].random_change(shape, 0.5, keys.root(4)).numpy()
  lengths = length(name, made)
  assert lengths.max() <= 0.5 + 1e-6
  # Of a ball in three dimensions, an eighth has half the radius.
  assert abs((lengths < 0.25).mean() - 1 / 8) < 0.01
  assert abs(made.mean()) < 0.01
  again = NORMS[name].random_change(shape, 0.5, keys.root(4))
  np.testing.assert_array_equal(made, again)
