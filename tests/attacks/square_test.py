import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.square import _sides, square
from tests.attacks import linear, trained

KEY = keys.root(2)


class Victim:
  """Answers in steps, so that it has no gradient, and remembers what it was asked."""

  def __init__(self):
    self.asked = []

  def __call__(self, x):
    self.asked.append(x.numpy())
    return tf.round(linear.logits_fn(x) * 50) / 50


def attack(victim, x, y, steps=60, eps=0.1, **more):
  return square(victim, tf.constant(x), tf.constant(y), eps=eps, steps=steps, key=KEY, **more)


X = np.random.default_rng(3).uniform(0.2, 0.8, (20, 2, 2, 1)).astype(np.float32)
Y = np.asarray(tf.argmax(linear.logits_fn(tf.constant(X)), axis=1)).astype(np.int32)


def test_every_query_is_counted_and_none_is_spent_on_what_is_fooled():
  victim = Victim()
  made, queries = attack(victim, X, Y)
  assert sum(len(x) for x in victim.asked) == queries.numpy().sum()
  fooled = np.asarray(tf.argmax(linear.logits_fn(made), axis=1)) != Y
  assert 0.1 < fooled.mean() < 1  # some are out of reach
  assert (queries.numpy()[~fooled] == 60).all() and (queries.numpy()[fooled] < 60).all()
  # An image's last query is the one that fooled: it is what was returned.
  for image, count in zip(made.numpy()[fooled], queries.numpy()[fooled]):
    assert any((image == asked).all() for asked in victim.asked[count - 1])


def test_the_changes_are_of_full_size_inside_the_ball():
  made, _ = attack(Victim(), X, Y)
  change = np.abs(made - X)
  assert change.max() <= 0.1 + 1e-6
  moved = change > 0
  np.testing.assert_allclose(change[moved], 0.1, atol=1e-6)
  dark, _ = attack(Victim(), 0 * X, np.ones(20, np.int32))
  assert dark.numpy().min() >= 0


def test_an_image_that_is_wrong_already_costs_one_query():
  made, queries = attack(Victim(), X, 1 - Y)
  np.testing.assert_array_equal(made, X)
  assert (queries.numpy() == 1).all()


def test_the_budget_holds():
  for steps in (1, 2, 3):
    victim = Victim()
    _, queries = attack(victim, X, Y, steps=steps, eps=0.001)
    assert (queries.numpy() == steps).all() and len(victim.asked) == steps


def test_the_loss_never_falls_and_more_queries_fool_more():
  x, y = trained.batch(40)
  logits = trained.logits_fn()

  def rate(steps):
    compiled = tf.function(lambda x, y: square(logits, x, y, eps=0.04, steps=steps, key=KEY)[0])
    return trained.fooled(compiled(x, y), y).mean()

  rates = [rate(steps) for steps in (10, 60, 300)]
  assert rates == sorted(rates) and rates[-1] > rates[0] + 0.1


def test_squares_shrink_as_published():
  sides = _sides(10_000, 0.8, 100, 100)
  expected = {5: 0.8, 30: 0.4, 100: 0.2, 300: 0.1, 700: 0.05, 1500: 0.025, 9000: 0.8 / 512}
  for query, share in expected.items():
    assert sides[query] == max(1, round(np.sqrt(share * 100 * 100)))
  assert _sides(10, 0.8, 100, 100)[9] == sides[9000]
  assert _sides(100, 0.8, 2, 2).min() == 1


def test_a_query_always_changes_something():
  victim = Victim()
  attack(victim, X, Y, steps=30, eps=0.01)
  for before, after in zip(victim.asked[1:], victim.asked[2:]):
    if len(before) == len(after):
      assert (before != after).any(axis=(1, 2, 3)).mean() > 0.5


def test_repeatable_and_keyed():
  compiled = tf.function(
    lambda key: square(linear.logits_fn, tf.constant(X), Y, eps=0.1, steps=60, key=key)[0],
    input_signature=[keys.SPEC],
  )
  first, again, other = (compiled(keys.root(seed)).numpy() for seed in (2, 2, 3))
  np.testing.assert_array_equal(first, again)
  np.testing.assert_array_equal(first, attack(linear.logits_fn, X, Y)[0])
  assert (first != other).any()


def test_a_target_is_reached():
  made, _ = attack(Victim(), X, 1 - Y, steps=200, eps=0.5, targeted=True)
  reached = np.asarray(tf.argmax(linear.logits_fn(made), axis=1)) == 1 - Y
  assert reached.mean() > 0.9
