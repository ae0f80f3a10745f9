"""Clipping by example, against tensorflow-privacy, by hand, and under neighbours meant to hurt."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.privacy.dp_sgd.per_example import clipped_sum
from fedsafe_tff.training.steps import training_gradient
from tests import small

MODEL = small.model(dropout=0.0)
WEIGHTS = MODEL.init(keys.root(1))
KEY = keys.root(5)
PIXELS, _LABELS = small.images(8, seed=3)
X = tf.constant(PIXELS, tf.float32) / 255.0
Y = tf.constant(_LABELS, tf.int32)


def flat(tensors):
  return np.concatenate([np.ravel(t) for t in tensors])


@functools.lru_cache
def compiled(clip_norm, attack_steps=0, model=MODEL):
  """(weights, x, y) -> ClippedSum, for batches of any size."""
  dp = DpSgd(clip_norm, 0.0, 8, attack_eps=0.1, attack_steps=attack_steps)

  @tf.function(
    autograph=False,
    input_signature=[
      model.weight_specs(),
      tf.TensorSpec([None, *model.input_shape]),
      tf.TensorSpec([None], tf.int32),
    ],
  )
  def run(weights, x, y):
    return dp.step(model, weights, x, y, tf.constant(clip_norm), key=KEY, step=0).batch

  return run


def one(model, weights, x, y):
  """The gradient of one example, by hand."""
  with tf.GradientTape() as tape:
    tape.watch(weights)
    loss = cross_entropy(model.apply(weights, x[None]), y[None])[0]
  return flat(tape.gradient(loss, weights))


def test_sum_of_clipped_gradients_is_that_of_tensorflow_privacy():
  from tensorflow_privacy import DPKerasSGDOptimizer

  clip_norm = 0.7
  variables = [tf.Variable(w) for w in WEIGHTS]
  optimizer = DPKerasSGDOptimizer(
    l2_norm_clip=clip_norm, noise_multiplier=0.0, num_microbatches=8, learning_rate=1.0
  )
  with tf.GradientTape(persistent=True) as tape:
    loss = cross_entropy(MODEL.apply(variables, X), Y)
  pairs = optimizer._compute_gradients(loss, variables, tape=tape)
  theirs = 8 * flat([g for g, _ in pairs])
  made = compiled(clip_norm)(WEIGHTS, X, Y)
  assert (made.norms.numpy() > clip_norm).any() and np.linalg.norm(theirs) > 0.5
  np.testing.assert_allclose(flat(made.gradients), theirs, atol=1e-5)


def test_a_clip_that_nobody_reaches_sums_the_plain_gradients():
  made = compiled(1e6)(WEIGHTS, X, Y)
  logits, losses, gradients = training_gradient(MODEL, WEIGHTS, X, Y, KEY)
  np.testing.assert_allclose(flat(made.gradients), 8 * flat(gradients), atol=1e-5)
  np.testing.assert_allclose(made.logits, logits, atol=1e-5)
  np.testing.assert_allclose(made.losses, losses, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 7])
def test_any_number_of_examples_is_the_sum_of_single_ones(count):
  clip_norm = 0.5
  made = compiled(clip_norm)(WEIGHTS, X[:count], Y[:count])
  expected = np.zeros_like(flat(WEIGHTS))
  for x, y in zip(X[:count], Y[:count]):
    gradient = one(MODEL, WEIGHTS, x, y)
    expected += gradient * min(1.0, clip_norm / np.linalg.norm(gradient))
  np.testing.assert_allclose(flat(made.gradients), expected, atol=1e-5)
  assert made.logits.shape == (count, 2) and made.losses.shape == made.norms.shape == (count,)


def test_clipped_norm_is_exact_and_short_gradients_are_left_to_the_bit():
  gradient = one(MODEL, WEIGHTS, X[0], Y[0])
  norm = float(np.linalg.norm(gradient))
  made = compiled(norm / 2)(WEIGHTS, X[:1], Y[:1])
  np.testing.assert_allclose(np.linalg.norm(flat(made.gradients)), norm / 2, rtol=1e-5)
  np.testing.assert_allclose(made.norms, [norm], rtol=1e-5)
  left, right = (flat(compiled(c)(WEIGHTS, X[:1], Y[:1]).gradients) for c in (2 * norm, 9 * norm))
  np.testing.assert_array_equal(left, right)


def neighbours():
  """Examples that stretch a bound: by name, image and label."""
  gray = np.float32(0.5) * np.ones_like(PIXELS[0])
  noise = np.random.default_rng(0).random(PIXELS[0].shape).astype(np.float32)
  checks = np.indices(PIXELS[0].shape).sum(0).astype(np.float32) % 2
  first = X[0].numpy()
  return {
    "the same with the other label": (first, 1 - int(Y[0])),
    "black": (0 * first, 0),
    "white": (0 * first + 1, 1),
    "gray": (gray, 1),
    "noise": (noise, 0),
    "checks": (checks, 1),
    "far out of the range": (1e6 * noise, 0),
    "overflowing": (1e30 * noise, 1),
    "infinite": (np.inf * gray, 0),
    "no number": (np.nan * gray, 1),
  }


@pytest.mark.parametrize("attack_steps", [0, 1, 3])
@pytest.mark.parametrize("trained", [False, True])
def test_one_example_moves_the_sum_by_its_clip_at_most(attack_steps, trained):
  clip_norm, slack = 0.01, 1 + 1e-4
  run = compiled(clip_norm, attack_steps)
  # Weights far out make long gradients and confident losses.
  weights = tuple(3.0 * w for w in WEIGHTS) if trained else WEIGHTS
  whole = run(weights, X, Y)
  assert (whole.norms.numpy() > clip_norm).sum() >= 1
  without = run(weights, X[:-1], Y[:-1])
  # The last is taken out, so that all others keep their places, and with them their coins.
  moved = np.linalg.norm(flat(whole.gradients) - flat(without.gradients))
  assert moved <= clip_norm * slack
  moves = {}
  for name, (image, label) in neighbours().items():
    x, y = X.numpy().copy(), Y.numpy().copy()
    x[-1], y[-1] = image, label
    other = run(weights, tf.constant(x), tf.constant(y))
    assert np.isfinite(flat(other.gradients)).all(), name
    added = np.linalg.norm(flat(other.gradients) - flat(without.gradients))
    assert added <= clip_norm * slack, name
    moves[name] = np.linalg.norm(flat(other.gradients) - flat(whole.gradients))
    assert moves[name] <= 2 * clip_norm * slack, name
    # Nothing of the others is touched, not even their last bits.
    np.testing.assert_array_equal(other.norms[:-1], whole.norms[:-1], err_msg=name)
    np.testing.assert_array_equal(other.logits[:-1], whole.logits[:-1], err_msg=name)
  assert max(moves.values()) > 0.9 * clip_norm  # else nothing was tried


def test_the_bound_of_a_replacement_is_reached():
  """An image with the other label has the opposite gradient: 2C, not less, is the sensitivity."""
  model = small.linear()
  weights = (tf.zeros([256, 2]), tf.zeros([2]))
  run = compiled(0.01, 0, model)
  left, right = (flat(run(weights, X[:1], tf.constant([y])).gradients) for y in (0, 1))
  np.testing.assert_allclose(np.linalg.norm(left - right), 0.02, rtol=1e-4)


def test_a_microbatch_is_clipped_as_one():
  made = clipped_sum(
    MODEL, WEIGHTS, X[:5], Y[:5], clip_norm=0.5, dropout_key=KEY, units=tf.constant([3, 0, 3, 7, 0])
  )
  expected = np.zeros_like(flat(WEIGHTS))
  for rows in ((0, 2), (1, 4), (3,)):
    gradient = np.mean([one(MODEL, WEIGHTS, X[i], Y[i]) for i in rows], 0)
    expected += gradient * min(1.0, 0.5 / np.linalg.norm(gradient))
  np.testing.assert_allclose(flat(made.gradients), expected, atol=1e-5)
  assert made.norms.shape == (3,) and made.losses.shape == (5,)


def test_the_models_own_loss_is_followed_also_where_it_gives_a_mean():
  plain = compiled(1e6)(WEIGHTS, X, Y)
  for mean in (False, True):

    def loss(logits, labels, mean=mean):
      losses = 3.0 * cross_entropy(logits, labels)
      return tf.reduce_mean(losses) if mean else losses

    made = compiled(1e6, 0, dataclasses.replace(MODEL, losses_fn=loss))(WEIGHTS, X, Y)
    np.testing.assert_allclose(made.losses, 3.0 * plain.losses, rtol=1e-4)
    np.testing.assert_allclose(flat(made.gradients), 3.0 * flat(plain.gradients), atol=1e-4)


def test_dropout_differs_from_example_to_example_and_from_step_to_step():
  model = small.model(dropout=0.5)
  x, y = tf.repeat(X[:1], 8, 0), tf.repeat(Y[:1], 8)
  weights = model.init(keys.root(1))

  def logits(step):
    return clipped_sum(
      model, weights, x, y, clip_norm=1.0, dropout_key=keys.fold(KEY, step)
    ).logits.numpy()

  assert len(np.unique(logits(0), axis=0)) > 1
  np.testing.assert_array_equal(logits(0), logits(0))
  assert (logits(0) != logits(1)).any()
