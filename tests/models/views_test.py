"""Answers by the mean over views: the same for every view, and nothing of it in training."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.registry import build_model
from fedsafe_tff.models.views import OPS, averaged, parse_views, views_of
from fedsafe_tff.training.gradients import Adversarial
from tests import small


def model_of(shape=(12, 12, 3)):
  return small.net(shape, dropout=0.25)


def drawn(model):
  """Weights that make a difference: a network's own classifier may begin at zero."""
  return tuple(
    tf.random.stateless_normal(spec.shape, [3, number], stddev=0.3)
    for number, spec in enumerate(model.weight_specs())
  )


@pytest.fixture(scope="module")
def images():
  return tf.random.stateless_uniform([5, 12, 12, 3], [1, 2])


@pytest.mark.parametrize(
  "ops, count",
  [((), 1), (("flip",), 2), (("flip_ud",), 2), (("rot90",), 4), (("flip", "flip_ud"), 4),
   (("flip", "rot90"), 8), (("rot90", "flip_ud"), 8), (OPS, 8)],
)  # fmt: skip
def test_views_are_all_that_ops_make_and_no_others(ops, count):
  views = views_of(ops)
  assert len(set(views)) == count and views[0] == (0, False)


@pytest.mark.parametrize("ops", [("flip",), ("rot90",), ("flip", "rot90")])
def test_every_view_gets_one_answer_which_is_the_mean_of_the_models(ops, images):
  model = model_of()
  weights = drawn(model)
  mean = averaged(model, ops)
  given = mean.apply(weights, images).numpy()
  single = []
  for turns, mirrored in views_of(ops):
    seen = np.rot90(images[:, :, ::-1] if mirrored else images, turns, (1, 2))
    single.append(model.apply(weights, seen).numpy())
    np.testing.assert_allclose(mean.apply(weights, seen), given, atol=2e-5)
  np.testing.assert_allclose(given, np.mean(single, 0), atol=2e-5)
  assert np.abs(single[0] - given).max() > 1e-3  # else nothing was tested


def test_what_training_sees_is_the_model_itself(images):
  model = model_of()
  mean = averaged(model, ("rot90",))
  assert mean.in_training is model and model.in_training is model
  weights, key = drawn(model), keys.root(2)
  labels = tf.constant([0, 1, 0, 1, 1])
  passes = [m.apply(weights, images, seed=key, training=True) for m in (model, mean)]
  np.testing.assert_array_equal(*passes)
  gradient = Adversarial(attack_eps=0.1, steps=2)
  how = {"key": key, "step": tf.constant(0), "attack_eps": 0.1}
  found = [
    tf.function(lambda m=m: gradient(m, weights, images, labels, **how))() for m in (model, mean)
  ]
  for one, other in zip(tf.nest.flatten(found[0]), tf.nest.flatten(found[1])):
    np.testing.assert_array_equal(one, other)


def test_an_attack_climbs_through_the_mean(images):
  model = model_of()
  weights = drawn(model)
  mean = averaged(model, ("flip", "rot90"))
  labels = tf.argmax(mean.apply(weights, images), 1, tf.int32)
  how = {"eps": 0.1, "step_size": 0.05, "steps": 4, "key": keys.root(3)}

  def lost(through):
    made = tf.function(lambda: pgd(lambda x: through.apply(weights, x), images, labels, **how))()
    return tf.reduce_mean(mean.losses(mean.apply(weights, made), labels))

  assert lost(mean) > lost(model)


def test_frozen_values_are_replaced_below_the_mean(images):
  model = build_model(
    "gn_silu_cnn", input_shape=(12, 12, 3), num_classes=2, conv_widths="4,4,4,4,4,4",
    mean=(0.4,) * 3, stddev=(0.2,) * 3,
  )  # fmt: skip
  mean = averaged(model, ("flip",))
  values = [value * 0.5 for _, value in mean.frozen]
  weights = drawn(model)
  given = mean.with_frozen(values).compiled_logits()(weights, images)
  wanted = averaged(model.with_frozen(values), ("flip",)).compiled_logits()(weights, images)
  np.testing.assert_array_equal(given, wanted)
  assert np.abs(given - mean.compiled_logits()(weights, images)).max() > 1e-3


def test_no_views_give_the_model_itself():
  model = model_of()
  assert averaged(model, ()) is model and parse_views(" ") == ()


def test_bad_views_are_one_line():
  with pytest.raises(UserError, match="unknown rotate: choose from flip, flip_ud, rot90"):
    parse_views("flip,rotate")
  with pytest.raises(UserError, match="square"):
    averaged(model_of((12, 14, 3)), ("rot90",))
  assert averaged(model_of((12, 14, 3)), ("flip",)).in_training is not None
