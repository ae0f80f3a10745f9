import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.ensemble import Ensemble, GaussianRedraw
from fedsafe_tff.attacks.objective import Objective
from fedsafe_tff.attacks.pgd import pgd

RNG = np.random.default_rng(0)
X = tf.constant(RNG.uniform(0, 1, (6, 2, 2, 1)), tf.float32)
Y = tf.constant(RNG.integers(0, 3, 6), tf.int32)
MODELS = [(RNG.normal(0, 1, (4, 3)).astype(np.float32), np.zeros(3, np.float32)) for _ in range(3)]
STACKED = tuple(tf.stack(tensors) for tensors in zip(*MODELS))


def apply(weights, x):
  return tf.reshape(x, [-1, 4]) @ weights[0] + weights[1]


def single(weights):
  return lambda x: apply(weights, x)


def ensemble(models=STACKED, **more):
  return Ensemble(apply, models, 3, **more)


@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
def test_loss_margin_and_gradient_are_the_means(loss, targeted):
  together = Objective(ensemble(), Y, loss, targeted).slope(X)
  alone = [Objective(single(weights), Y, loss, targeted).slope(X) for weights in MODELS]
  for name in ("loss", "margin", "gradient"):
    mean = np.mean([getattr(slope, name) for slope in alone], axis=0)
    np.testing.assert_allclose(getattr(together, name), mean, rtol=1e-4, atol=1e-6)
  height = Objective(ensemble(), Y, loss, targeted).height(X)
  np.testing.assert_allclose(height.loss, together.loss, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(height.margin, together.margin, rtol=1e-5, atol=1e-6)


def test_logits_are_the_mean():
  mean = np.mean([apply(weights, X) for weights in MODELS], axis=0)
  np.testing.assert_allclose(ensemble().logits(X), mean, rtol=1e-5)


def test_one_model_alone_is_no_other_than_its_ensemble():
  one = ensemble(tuple(tensor[:1] for tensor in STACKED))
  settings = {"eps": 0.2, "step_size": 0.05, "steps": 5}
  np.testing.assert_array_equal(
    pgd(one, X, Y, **settings), pgd(single(MODELS[0]), X, Y, **settings)
  )


def test_models_are_drawn_anew_for_every_key_and_of_the_size_asked_for():
  wide = (tf.zeros([2, 4, 3]), tf.zeros([2, 3]))
  seen = []

  def look(logits_fn):
    seen.append(logits_fn(tf.zeros([1, 2, 2, 1])).numpy())  # the bias
    return tf.zeros([])

  drawn = ensemble(wide, redraw=GaussianRedraw(0.5), draws=60)
  drawn.average(look, tf.zeros([]), keys.root(1))
  first = np.concatenate(seen)
  assert len(first) == 120
  assert abs(first.std() - 0.5) < 0.08 and abs(first.mean()) < 0.08
  assert len(np.unique(first)) == first.size  # no two models share any
  for seed, same in ((1, True), (2, False)):
    seen.clear()
    drawn.average(look, tf.zeros([]), keys.root(seed))
    assert np.array_equal(np.concatenate(seen), first) == same


def test_each_model_gets_its_draws():
  apart = (tf.reshape([10.0, -10.0], [2, 1, 1]) * tf.ones([2, 4, 3]), tf.zeros([2, 3]))
  drawn = ensemble(apart, redraw=GaussianRedraw(0.1), draws=3)
  ones = tf.ones([1, 2, 2, 1])
  found = []

  def look(logits_fn):
    found.append(float(logits_fn(ones)[0, 0]))
    return tf.zeros([])

  drawn.average(look, tf.zeros([]), keys.root(0))
  assert [round(value / 40) for value in found] == [1, 1, 1, -1, -1, -1]


def test_an_attack_meets_other_models_at_every_step_and_for_every_key():
  drawn = ensemble(redraw=GaussianRedraw(2.0), draws=1)
  settings = {"eps": 1.0, "step_size": 0.1, "steps": 4}
  first, again, other = (pgd(drawn, X, Y, key=keys.root(seed), **settings) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert (first.numpy() != other.numpy()).any()
  # With the same models at every step all steps of a linear model would point one way.
  steps = np.abs(first - X) / 0.1
  assert (steps < 3.5).any()


def test_models_that_are_drawn_need_a_key():
  drawn = ensemble(redraw=GaussianRedraw(1.0))
  with pytest.raises(ValueError, match="need a key"):
    pgd(drawn, X, Y, eps=0.1, step_size=0.1, steps=1)


def test_a_compiled_ensemble_is_the_same():
  drawn = ensemble(redraw=GaussianRedraw(0.1), draws=2)
  settings = {"eps": 0.2, "step_size": 0.05, "steps": 3}
  compiled = tf.function(lambda x, y, key: pgd(drawn, x, y, key=key, **settings))
  made = compiled(X, Y, keys.root(3))
  np.testing.assert_allclose(made, pgd(drawn, X, Y, key=keys.root(3), **settings), atol=1e-6)
