import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import gn_cnn, registry
from fedsafe_tff.models.registry import build_model

SHAPE = (17, 24, 2)
WIDTHS = (4, 8, 6, 4, 8, 4)  # 6 is no multiple of a group: one group


def tiny(**keywords):
  settings = {"mean": (0.4, 0.6), "stddev": (0.2, 0.3)} | keywords
  return gn_cnn.build_gn_cnn(input_shape=SHAPE, num_classes=3, conv_widths=WIDTHS, **settings)


def random_weights(model):
  rng = np.random.default_rng(0)
  return [tf.constant(rng.normal(0, 0.5, s.shape), tf.float32) for s in model.weight_specs()]


def images(count=4):
  return tf.constant(np.random.default_rng(1).uniform(size=(count, *SHAPE)), tf.float32)


@pytest.mark.parametrize("channels,groups", [(8, 2), (6, 1)])
def test_group_norm_is_that_of_keras(channels, groups):
  rng = np.random.default_rng(2)
  x = rng.normal(3.0, 2.0, (5, 7, 6, channels)).astype(np.float32)
  scale, offset = rng.normal(size=(2, channels)).astype(np.float32)
  layer = tf.keras.layers.GroupNormalization(groups, epsilon=1e-5)
  layer.build(x.shape)
  layer.set_weights([scale, offset])

  found = gn_cnn.group_norm(tf.constant(x), tf.constant(scale), tf.constant(offset))

  np.testing.assert_allclose(found, layer(x), atol=1e-4)


def test_an_image_does_not_change_anothers_logits():
  model, x = tiny(), images()
  weights = random_weights(model)
  together = model.apply(weights, x).numpy()
  alone = np.concatenate([model.apply(weights, x[i : i + 1]) for i in range(len(x))])
  np.testing.assert_allclose(together, alone, atol=1e-4)
  assert np.ptp(together, axis=0).max() > 0.1


def test_features_have_one_length_and_flat_images_are_finite():
  rng = np.random.default_rng(3)
  features = gn_cnn.unit_features(tf.constant(rng.normal(5.0, 3.0, (6, 40)), tf.float32))
  np.testing.assert_allclose(np.linalg.norm(features, axis=1), 8.0, rtol=1e-5)
  np.testing.assert_allclose(np.mean(features, axis=1), 0.0, atol=1e-5)
  model = tiny()
  weights = [tf.constant(w) for w in model.init(keys.root(0))]
  with tf.GradientTape() as tape:
    tape.watch(weights)
    loss = tf.reduce_mean(model.losses(model.apply(weights, tf.zeros([2, *SHAPE])), [0, 1]))
  assert all(np.isfinite(g).all() for g in tape.gradient(loss, weights))


def test_the_classifier_begins_undecided_and_the_rest_is_drawn_by_the_key():
  model = tiny()
  one, two, again = (model.init(keys.root(seed)) for seed in (0, 1, 0))
  assert not model.apply(one, images()).numpy().any()
  assert (one[0].numpy() != two[0].numpy()).any()
  assert all((a.numpy() == b.numpy()).all() for a, b in zip(one, again))
  assert len(model.weight_names) == len(one)


def test_pool_grid_and_normalisation_take_effect():
  specs = [m.weight_specs()[-2].shape.as_list() for m in (tiny(), tiny(pool_grid=1))]
  assert specs == [[2 * 3 * 4, 3], [4, 3]]
  model = tiny()
  weights, x = random_weights(model), images()
  moved = model.with_frozen([np.float32([0.0, 0.0]), np.float32([1.0, 1.0])])
  assert np.abs(model.apply(weights, x) - moved.apply(weights, x)).max() > 1e-3


def _by_name(name, **settings):
  registry._last.clear()  # what is patched here is no setting
  widths = ",".join(map(str, WIDTHS))
  given = {"mean": (0.4, 0.6), "stddev": (0.2, 0.3), "pool_grid": 1} | settings
  return build_model(name, input_shape=SHAPE, num_classes=3, conv_widths=widths, **given)


def test_the_smooth_network_differs_by_its_activation_alone(monkeypatch):
  rough, smooth = _by_name("gn_cnn"), _by_name("gn_silu_cnn")
  weights, x = random_weights(rough), images()
  assert rough.weight_specs() == smooth.weight_specs()
  assert rough.weight_names == smooth.weight_names
  first = [model.init(keys.root(0)) for model in (rough, smooth)]
  assert all((a.numpy() == b.numpy()).all() for a, b in zip(*first))
  assert smooth.name.startswith("gn_silu_cnn-") and rough.name.startswith("gn_cnn-")

  layers = []

  def x_times_sigmoid(values):
    layers.append(values.shape[-1])
    return values * tf.sigmoid(values)

  monkeypatch.setitem(gn_cnn.ACTIVATIONS, "relu", (x_times_sigmoid, "gn_cnn"))
  by_hand = _by_name("gn_cnn").apply(weights, x)
  assert layers == list(WIDTHS)
  np.testing.assert_allclose(smooth.apply(weights, x), by_hand, rtol=1e-4, atol=1e-4)
  assert np.abs(smooth.apply(weights, x) - rough.apply(weights, x)).max() > 1e-2


def test_frozen_values_leave_the_activation_as_it_is():
  smooth = _by_name("gn_silu_cnn")
  other = _by_name("gn_silu_cnn", mean=(0.1, 0.2), stddev=(0.5, 0.6))
  moved = other.with_frozen([np.float32([0.4, 0.6]), np.float32([0.2, 0.3])])
  weights, x = random_weights(smooth), images()
  np.testing.assert_array_equal(moved.apply(weights, x), smooth.apply(weights, x))
  assert moved.name == smooth.name


def test_by_its_name_and_too_small_an_image():
  model = build_model("gn_cnn", input_shape=SHAPE, num_classes=2, conv_widths="4,4,4,4,4,4")
  assert model.num_classes == 2
  with pytest.raises(UserError, match="at least 8x8"):
    gn_cnn.build_gn_cnn(input_shape=(7, 9, 1), num_classes=2)
