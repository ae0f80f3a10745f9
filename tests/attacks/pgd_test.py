import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd
from tests.attacks import linear

X = np.random.default_rng(1).uniform(0, 1, (32, 2, 2, 1)).astype(np.float32)
Y = (np.arange(32) % 2).astype(np.int32)


def run(**keywords):
  settings = {"eps": 0.1, "step_size": 0.03, "steps": 5} | keywords
  return pgd(linear.logits_fn, tf.constant(X), tf.constant(Y), **settings).numpy()


def test_pgd_is_equation_7():
  x = X.astype(np.float64)
  for _ in range(5):
    x = x + 0.03 * np.sign(linear.gradient(x, Y))
    x = np.clip(X + np.clip(x - X, -0.1, 0.1), 0, 1)
  np.testing.assert_allclose(run(), x, atol=1e-6)


@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_stays_in_ball_and_range(random_start):
  made = run(random_start=random_start, key=keys.root(3), step_size=0.2)
  assert np.abs(made - X).max() <= 0.1 + 1e-6
  assert made.min() >= 0 and made.max() <= 1


def test_random_start_is_repeatable_and_uniform():
  start = {"random_start": True, "steps": 1, "step_size": 0.0}
  first, again, other = (run(key=keys.root(s), **start) for s in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  inner = (X > 0.1) & (X < 0.9)
  offsets = (first - X)[inner] / 0.1
  assert abs(offsets.mean()) < 0.2 and abs(offsets.std() - 1 / np.sqrt(3)) < 0.1


def test_restarts_are_never_weaker():
  def loss(x):
    logits = linear.logits_fn(tf.constant(x))
    return tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits).numpy()

  start = {"random_start": True, "steps": 1, "step_size": 0.01}
  many = loss(run(key=keys.root(0), restarts=5, **start))
  for index in range(5):
    single = run(key=keys.fold(keys.root(0), index), **start)
    assert (many >= loss(single) - 1e-6).all()


def test_eps_may_be_a_tensor_inside_a_function():
  @tf.function
  def attack(eps, step):
    return pgd(linear.logits_fn, tf.constant(X), tf.constant(Y), eps=eps, step_size=step, steps=5)

  for eps, step in ((0.1, 0.02), (0.2, 0.07)):
    made = attack(tf.constant(eps), tf.constant(step))
    np.testing.assert_array_equal(made, run(eps=eps, step_size=step))
  assert attack.experimental_get_tracing_count() == 1


def test_random_start_needs_a_key():
  with pytest.raises(ValueError, match="key"):
    run(random_start=True)


def test_restarts_need_a_random_start():
  with pytest.raises(ValueError, match="restarts"):
    run(restarts=2)


def test_no_size_changes_nothing():
  np.testing.assert_array_equal(run(eps=0.0), X)
  np.testing.assert_array_equal(run(eps=0.0, random_start=True, key=keys.root(0)), X)


def test_a_flat_loss_changes_nothing():
  def constant(x):
    return tf.zeros([tf.shape(x)[0], 2])

  made = pgd(constant, X, Y, eps=0.1, step_size=0.03, steps=3)
  np.testing.assert_array_equal(made, X)


def test_l2_by_hand():
  """Steps along the gradient of a linear model, whose direction never changes but for the range."""
  x = np.full([3, 2, 2, 1], 0.5, np.float32)
  made = pgd(
    linear.logits_fn, tf.constant(x), tf.constant(Y[:3]), eps=0.3, step_size=0.1, steps=2, norm="l2"
  )
  slope = linear.gradient(x, Y[:3])
  slope /= np.linalg.norm(slope.reshape(3, -1), axis=1)[:, None, None, None]
  np.testing.assert_allclose(made - x, 0.2 * slope, atol=1e-6)
  far = pgd(
    linear.logits_fn, tf.constant(x), tf.constant(Y[:3]), eps=0.3, step_size=0.1, steps=9, norm="l2"
  )
  np.testing.assert_allclose(far - x, 0.3 * slope, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_targeted_attack_goes_the_other_way(norm):
  """Of two classes, towards the one is away from the other."""
  there = run(norm=norm, targeted=True)
  settings = {"eps": 0.1, "step_size": 0.03, "steps": 5, "norm": norm}
  away = pgd(linear.logits_fn, tf.constant(X), tf.constant(1 - Y), **settings)
  np.testing.assert_allclose(there, away, atol=1e-6)
  assert (there != run(norm=norm)).any()


def test_the_worst_point_is_kept():
  """Steps of the ball's size jump back and forth over the valley of a model with one inside."""

  def logits_fn(x):
    height = tf.reduce_sum(tf.abs(x - 0.5), axis=[1, 2, 3])  # wrong in the middle
    return tf.stack([0.3 - height, tf.zeros_like(height)], axis=1)

  x = tf.constant(0.4 + np.zeros([1, 2, 2, 1], np.float32))
  y = tf.constant([1])
  visited, differs = [x.numpy()], False
  for steps in (1, 2, 3):
    settings = {"eps": 0.2, "step_size": 0.15, "steps": steps}
    visited.append(pgd(logits_fn, x, y, **settings).numpy())
    kept = pgd(logits_fn, x, y, keep="worst", **settings).numpy()
    margins = [float(0.3 - np.abs(v - 0.5).sum()) for v in visited]
    np.testing.assert_array_equal(kept, visited[int(np.argmax(margins))])
    differs |= (kept != visited[-1]).any()
  assert differs


def test_restarts_keep_what_fools_before_what_has_the_higher_loss():
  def loss(x):
    logits = linear.logits_fn(tf.constant(x))
    return tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits).numpy()

  start = {"random_start": True, "steps": 1, "step_size": 0.01, "keep": "worst"}
  many = loss(run(key=keys.root(0), restarts=4, **start))
  for index in range(4):
    assert (many >= loss(run(key=keys.fold(keys.root(0), index), **start)) - 1e-6).all()
