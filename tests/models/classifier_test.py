import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import classifier, gn_cnn
from fedsafe_tff.models.functional import FunctionalModel

SHAPE = (16, 16, 1)


def whole():
  return gn_cnn.build_gn_cnn(input_shape=SHAPE, num_classes=2, conv_widths=(4,) * 6, pool_grid=1)


def drawn(model, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.normal(0, 0.5, spec.shape).astype(np.float32) for spec in model.weight_specs()]


IMAGES = tf.constant(np.random.default_rng(1).uniform(size=(3, *SHAPE)), tf.float32)


def test_it_predicts_as_the_whole_with_two_weights_to_train():
  model = whole()
  weights = drawn(model)
  alone = classifier.classifier_alone(model, weights[:-2])
  assert [s.shape.as_list() for s in alone.weight_specs()] == [[4, 2], [2]]
  np.testing.assert_array_equal(
    alone.apply(weights[-2:], IMAGES), model.apply(weights, IMAGES)
  )
  assert alone.weight_names == ("classifier/kernel", "classifier/bias")
  for mine, base in zip(alone.init(keys.root(3)), model.init(keys.root(3))[-2:]):
    np.testing.assert_array_equal(mine, base)


def test_what_is_frozen_comes_back_from_storage():
  model = whole()
  weights, others = drawn(model), drawn(model, 5)
  alone = classifier.classifier_alone(model, weights[:-2])
  other = classifier.classifier_alone(model, others[:-2])
  restored = other.with_frozen([value for _, value in alone.frozen])
  np.testing.assert_array_equal(
    restored.apply(weights[-2:], IMAGES), alone.apply(weights[-2:], IMAGES)
  )
  assert [name for name, _ in alone.frozen][:3] == [
    "normalisation/mean", "normalisation/stddev", "conv_1/kernel"
  ]  # fmt: skip


def test_a_model_that_ends_otherwise_is_refused():
  model = whole()
  with pytest.raises(UserError, match="before its classifier"):
    classifier.classifier_alone(model, drawn(model)[:-3])
  strange = FunctionalModel(
    "strange", SHAPE, 2, lambda key: (tf.zeros([4]), tf.zeros([3, 3])), lambda w, x, k, t: x
  )
  with pytest.raises(UserError, match="does not end in a kernel"):
    classifier.classifier_alone(strange, [])
