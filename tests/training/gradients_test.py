"""Adversarial training against the same by hand (tests of `Plain` are in local_test)."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd, random_point
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.training.gradients import Adversarial, ascended
from fedsafe_tff.training.robust_loss import mart, trades
from fedsafe_tff.training.steps import gaussian_noise
from tests import small

X, Y = small.images(7, 3)
X, Y = tf.constant(X / np.float32(255)), tf.constant(Y, tf.int32)
MODEL = small.net(dropout=0.0)
WEIGHTS = MODEL.init(keys.root(5))
KEY, STEP, EPS = keys.root(2), tf.constant(4), 0.1


def made_with(weights):
  return pgd(
    lambda inputs: MODEL.apply(weights, inputs), X, Y, eps=EPS, step_size=2.5 / 3 * EPS, steps=3,
    random_start=True, key=keys.fold(KEY, keys.ATTACK, STEP),
  )


def by_hand(loss, at=WEIGHTS):
  with tf.GradientTape() as tape:
    tape.watch(at)
    value = loss(at)
  return tape.gradient(value, at)


def taken(eps=EPS, **settings):
  settings = {"steps": 3} | settings
  return Adversarial(EPS, **settings)(MODEL, WEIGHTS, X, Y, key=KEY, step=STEP, attack_eps=eps)


def close(left, right, atol=1e-6):
  for a, b in zip(left, right, strict=True):
    np.testing.assert_allclose(a, b, atol=atol)


def test_robust_losses_by_hand():
  clean, adversarial, labels = np.array([[0.2, 1.0]]), np.array([[0.5, 0.1]]), tf.constant([1])
  p, q = (np.exp(z) / np.exp(z).sum() for z in (clean[0], adversarial[0]))
  kl = (p * np.log(p / q)).sum()
  tensors = tf.constant(clean, tf.float32), tf.constant(adversarial, tf.float32), labels
  np.testing.assert_allclose(
    trades(*tensors, cross_entropy, 3.0), [-np.log(p[1]) + 3 * kl], rtol=1e-5
  )
  boosted = -np.log(q[1]) - np.log(1.0001 - q[0])
  np.testing.assert_allclose(
    mart(*tensors, cross_entropy, 3.0), [boosted + 3 * kl * (1.0001 - p[1])], rtol=1e-5
  )


def test_trades_takes_the_gradient_of_both_sides_at_one_model():
  made = made_with(WEIGHTS)

  def loss(weights):
    clean, adversarial = MODEL.apply(weights, X), MODEL.apply(weights, made)
    return tf.reduce_mean(trades(clean, adversarial, Y, cross_entropy, 2.0))

  logits, losses, gradients = taken(loss="trades", beta=2.0)
  close(gradients, by_hand(loss))
  close([logits], [MODEL.apply(WEIGHTS, made)])
  np.testing.assert_allclose(tf.reduce_mean(losses), loss(WEIGHTS), atol=1e-6)
  assert losses.shape == [7]


def test_noised_weights_are_those_of_the_examples_and_of_the_gradient():
  noise = gaussian_noise(WEIGHTS, 0.2, keys.fold(KEY, keys.MODEL_DRAW, STEP))
  noised = tuple(w + n for w, n in zip(WEIGHTS, noise))
  made = made_with(noised)
  expected = by_hand(
    lambda w: tf.reduce_mean(cross_entropy(MODEL.apply(w, made), Y)), noised
  )
  close(taken(weight_sigma=0.2)[2], expected)


def test_a_noised_single_step_starts_and_ends_outside_of_the_ball():
  key = keys.fold(KEY, keys.ATTACK, STEP)
  start = random_point(X, 2 * EPS, key)
  slope = by_hand_at(start)
  made = tf.clip_by_value(start + EPS * tf.sign(slope), 0.0, 1.0)
  found = taken(steps=1, attack_noise=2.0)
  close([found[0]], [MODEL.apply(WEIGHTS, made)], atol=1e-5)
  moved = tf.reduce_max(tf.abs(made - X))
  assert 2.5 * EPS < moved <= 3 * EPS + 1e-6
  # FGSM is the same without noise: from the image itself.
  made = tf.clip_by_value(X + EPS * tf.sign(by_hand_at(X)), 0.0, 1.0)
  close([taken(steps=1)[0]], [MODEL.apply(WEIGHTS, made)], atol=1e-5)
  with pytest.raises(UserError, match="single step"):
    Adversarial(steps=2, attack_noise=1.0)


def by_hand_at(images):
  """The gradient of the loss by the images."""
  with tf.GradientTape() as tape:
    tape.watch(images)
    loss = tf.reduce_sum(cross_entropy(MODEL.apply(WEIGHTS, images), Y))
  return tape.gradient(loss, images)


def test_weight_ascent_waits_for_the_whole_perturbation():
  plain = taken()[2]
  moved = ascended(WEIGHTS, plain, 0.1)
  for weight, new, gradient in zip(WEIGHTS, moved, plain):
    np.testing.assert_allclose(tf.norm(new - weight), 0.1 * tf.norm(weight), rtol=1e-4)
    assert tf.reduce_sum((new - weight) * gradient) >= 0
  made = made_with(WEIGHTS)
  expected = by_hand(lambda w: tf.reduce_mean(cross_entropy(MODEL.apply(w, made), Y)), moved)
  close(taken(weight_ascent=0.1)[2], expected)
  for left, right in zip(taken(EPS / 2, weight_ascent=0.1)[2], taken(EPS / 2)[2]):
    np.testing.assert_allclose(left, right, atol=1e-7)


def test_a_ball_of_size_zero_is_a_point_and_not_climbed(monkeypatch):
  point = pgd(
    lambda inputs: MODEL.apply(WEIGHTS, inputs), X, Y, eps=0.0, step_size=0.0, steps=3,
    random_start=True, key=KEY,
  )
  np.testing.assert_array_equal(point, X)
  climbed = []

  def watched(*_, eps, **__):
    climbed.append(float(eps))
    return X + eps

  monkeypatch.setattr("fedsafe_tff.training.gradients.pgd", watched)
  logits, _, gradients = taken(0.0)
  assert not climbed
  np.testing.assert_array_equal(logits, MODEL.apply(WEIGHTS, X))
  close(gradients, by_hand(lambda w: tf.reduce_mean(cross_entropy(MODEL.apply(w, X), Y))))
  taken(0.25)
  assert climbed == [0.25]


def test_an_unknown_loss_is_refused():
  with pytest.raises(UserError, match="cross_entropy, trades or mart"):
    Adversarial(loss="hinge")
