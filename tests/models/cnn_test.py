import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import cnn
from tests import small

# Odd sides, which the poolings cut off, and more than one pixel and channel at the end.
SHAPE = (17, 24, 2)
MEAN, STDDEV = (0.4, 0.6), (0.2, 0.3)


def tiny(**keywords):
  settings = {"mean": MEAN, "stddev": STDDEV, "dropout": 0.0} | keywords
  return cnn.build_cnn(
    input_shape=SHAPE, num_classes=3, conv_widths=(3, 4, 4, 3, 5, 4), dense_widths=(7, 6, 6, 5),
    **settings,
  )


def random_weights():
  """Weights of He's size and biases that are not zero, so that each matters."""
  rng = np.random.default_rng(0)
  shapes = [tuple(spec.shape) for spec in tiny().weight_specs()]
  scales = [np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.3 for shape in shapes]
  return [rng.normal(0, scale, s).astype(np.float32) for s, scale in zip(shapes, scales)]


WEIGHTS = random_weights()


def random_images(count=4, shape=SHAPE):
  return np.random.default_rng(1).uniform(size=(count, *shape)).astype(np.float32)


def hidden_units(images):
  """What enters the last layer, by plain numpy."""
  x = (images.astype(np.float64) - MEAN) / STDDEV
  pairs = list(zip(WEIGHTS[::2], WEIGHTS[1::2]))
  for layer, (kernel, bias) in enumerate(pairs[:6]):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    x = bias + sum(
      padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )
    x = np.maximum(x, 0)
    if layer % 2:
      n, height, width, depth = x.shape
      x = x[:, : height // 2 * 2, : width // 2 * 2]
      x = x.reshape(n, height // 2, 2, width // 2, 2, depth).max(axis=(2, 4))
  x = x.reshape(len(x), -1)
  for kernel, bias in pairs[6:-1]:
    x = np.maximum(x @ kernel + bias, 0)
  return x


def test_the_forward_pass_by_plain_numpy():
  model, images = tiny(), random_images()
  assert len(WEIGHTS) == 2 * (6 + 5) and WEIGHTS[12].shape == (2 * 3 * 4, 7)
  expected = hidden_units(images) @ WEIGHTS[-2] + WEIGHTS[-1]
  assert np.ptp(expected, axis=0).min() > 1e-3  # the images make a difference
  logits = model.apply(WEIGHTS, tf.constant(images))
  assert logits.dtype == tf.float32
  np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_normalisation_happens_inside():
  model, plain = tiny(), tiny(mean=(0.0,), stddev=(1.0,))
  images = random_images()
  normalised = (images - np.float32(MEAN)) / np.float32(STDDEV)
  np.testing.assert_allclose(
    model.apply(WEIGHTS, tf.constant(images)), plain.apply(WEIGHTS, tf.constant(normalised)), 1e-4
  )


def test_kernels_have_hes_stddev_and_the_logits_a_tenth_of_it():
  model = cnn.build_cnn(
    input_shape=(16, 16, 3), num_classes=50, conv_widths=(100, 80, 80, 60, 60, 50),
    dense_widths=(200, 150, 150, 200),
  )
  weights = [w.numpy() for w in model.init(keys.root(4))]
  for layer, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2])):
    stddev = np.sqrt(2 / np.prod(kernel.shape[:-1]))
    if layer == 10:
      stddev *= 0.1
    assert abs(kernel.mean()) < 4 * stddev / np.sqrt(kernel.size)
    assert abs(kernel.std() / stddev - 1) < 4 / np.sqrt(2 * kernel.size)
    assert not bias.any()


def test_the_first_logits_are_near_zero():
  model = small.model()
  images = tf.constant(small.images(20, 0)[0] / np.float32(255))
  largest = [np.abs(model.apply(model.init(keys.root(s)), images)).max() for s in range(15)]
  assert np.median(largest) < 0.25  # under He's full scale ten times as much


def test_initial_weights_are_keyed():
  model = tiny()
  first, again, other = (model.init(keys.root(seed)) for seed in (1, 1, 2))
  for a, b, c in zip(first[::2], again[::2], other[::2]):
    np.testing.assert_array_equal(a, b)
    assert (a.numpy() != c.numpy()).all()
  kernels = [w.numpy().ravel()[:20] / w.numpy().std() for w in first[::2]]
  assert len({tuple(np.sign(k)) for k in kernels}) == len(kernels)  # not one draw for all layers


def test_dropout_only_in_training():
  model, plain = tiny(dropout=0.5), tiny()
  images = tf.constant(random_images())
  quiet = model.apply(WEIGHTS, images)
  np.testing.assert_array_equal(quiet, model.apply(WEIGHTS, images, seed=keys.root(1)))
  np.testing.assert_array_equal(quiet, plain.apply(WEIGHTS, images))
  np.testing.assert_array_equal(
    quiet, plain.apply(WEIGHTS, images, seed=keys.root(1), training=True)
  )
  assert (model.apply(WEIGHTS, images, seed=keys.root(1), training=True) != quiet).numpy().any()
  with pytest.raises(ValueError, match="key"):
    model.apply(WEIGHTS, images, training=True)


def test_dropout_masks_are_keyed():
  model = tiny(dropout=0.5)
  images = tf.constant(random_images(16))
  first, again, other = (
    model.apply(WEIGHTS, images, seed=keys.root(key), training=True).numpy() for key in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_dropout_is_unbiased_and_has_its_rate():
  rate, count = 0.25, 4000
  model = tiny(dropout=rate)
  image = random_images(1)
  images = tf.constant(np.repeat(image, count, axis=0))
  noisy = model.apply(WEIGHTS, images, seed=keys.root(3), training=True).numpy()
  quiet = model.apply(WEIGHTS, images[:1])[0].numpy()
  # Each of the last hidden units is kept with probability 0.75 and then divided by it.
  products = hidden_units(image)[0][:, None] * WEIGHTS[-2]
  stddev = np.sqrt((products**2).sum(0) * rate / (1 - rate))
  assert stddev.min() > 0
  assert (np.abs(noisy.mean(0) - quiet) < 4 * stddev / np.sqrt(count)).all()
  np.testing.assert_allclose(noisy.std(0), stddev, rtol=0.1)


@pytest.mark.parametrize("shape", [(7, 16, 1), (16, 7, 3)])
def test_too_small_images_are_a_user_error(shape):
  with pytest.raises(UserError, match=f"{shape[0]}x{shape[1]}.*8x8"):
    cnn.build_cnn(input_shape=shape, num_classes=2)
  model = cnn.build_cnn(input_shape=(8, 8, 1), num_classes=2)
  logits = model.apply(model.init(keys.root(0)), tf.zeros([1, 8, 8, 1]))
  assert logits.shape == (1, 2)


def test_widths():
  assert cnn.parse_widths("1,2, 3,4,5,6", 6, "conv_widths") == (1, 2, 3, 4, 5, 6)
  assert cnn.parse_widths("wide", 6, "conv_widths") == (100, 150, 200, 200, 250, 250)
  assert cnn.parse_widths("8,7,6,5", 4, "dense_widths") == (8, 7, 6, 5)


@pytest.mark.parametrize(
  "text", ["", "broad", "1,2,3", "1,2,3,4,5", "1,2,3,0", "1,2,3,-4", "1,2,3,4.5", "wide", "1,,2,3"]
)
def test_bad_widths_are_user_errors(text):
  with pytest.raises(UserError, match="--dense_widths=.* 4 comma-separated"):
    cnn.parse_widths(text, 4, "dense_widths")


def test_bfloat16_computes_the_same_less_exactly():
  """Weights, logits and gradients stay float32; only the layers between are coarser."""
  images = tf.constant(random_images(8))
  labels = tf.constant([0, 1, 2, 0, 1, 2, 0, 1])
  weights = [tf.constant(w) for w in WEIGHTS]

  def outcome(compute_dtype):
    model = tiny(compute_dtype=compute_dtype)
    assert {spec.dtype for spec in model.weight_specs()} == {tf.float32}
    with tf.GradientTape() as tape:
      tape.watch(weights)
      logits = model.apply(weights, images)
      loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    gradients = tape.gradient(loss, weights)
    assert {t.dtype for t in (logits, *gradients)} == {tf.float32}
    return logits.numpy(), tf.concat([tf.reshape(g, [-1]) for g in gradients], 0).numpy()

  for exact, coarse in zip(outcome("float32"), outcome("bfloat16")):
    error = np.linalg.norm(coarse - exact) / np.linalg.norm(exact)
    # A bfloat16 has 8 bits: each rounding errs by up to 1/256. float32 would err by 1e-7.
    assert 1e-4 < error < 0.1


def test_the_name_tells_the_arithmetic():
  assert tiny().name != tiny(compute_dtype="bfloat16").name


def test_pooling_averages_the_last_feature_map():
  """One dense kernel shared by all positions is what a kernel repeated over them would be."""
  images = tf.constant(random_images())
  shared = np.random.default_rng(2).normal(size=(4, 7)).astype(np.float32)
  positions = 2 * 3
  repeated = np.tile(shared, [positions, 1]) / positions
  weights = [*WEIGHTS[:12], None, *WEIGHTS[13:]]
  plain = tiny().apply([repeated if w is None else w for w in weights], images)
  pooled = tiny(pool_grid=1).apply([shared if w is None else w for w in weights], images)
  np.testing.assert_allclose(pooled, plain, atol=1e-5)
  assert tiny(pool_grid=2).weight_specs()[12].shape == (2 * 3 * 4, 7)  # 2x3: a window of 1


@pytest.mark.parametrize("seed", range(12))
def test_calibrated_weights_center_and_scale_every_unit(seed):
  """Every unit's input has mean 0 and variance 1 over the calibration images; logits a tenth."""
  images = np.random.default_rng(5).integers(0, 255, (40, *SHAPE), dtype=np.uint8)
  weights = tiny(calibration=images).init(keys.root(seed))
  x = (images / 255.0 - MEAN) / STDDEV
  for layer, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2])):
    if layer == 6:
      x = x.reshape(len(x), -1)
    x = tf.nn.conv2d(tf.cast(x, tf.float32), kernel, 1, "SAME") if layer < 6 else x @ kernel.numpy()
    x = np.asarray(x) + bias.numpy()
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(x.mean(axes), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axes), 0.1 if layer == 10 else 1.0, rtol=2e-3)
    x = np.maximum(x, 0)
    if layer in (1, 3, 5):
      x = tf.nn.max_pool2d(x, 2, 2, "VALID").numpy()


def test_a_unit_that_hardly_varies_is_not_blown_up():
  images = np.full((10, *SHAPE), 128, np.uint8)
  images[0] = 129
  for kernel in tiny(calibration=images).init(keys.root(0))[::2]:
    assert np.isfinite(kernel).all() and np.abs(kernel).max() < 1e3


def test_calibration_keeps_the_directions_that_were_drawn():
  images = np.random.default_rng(5).integers(0, 255, (10, *SHAPE), dtype=np.uint8)
  plain, made = tiny().init(keys.root(0)), tiny(calibration=images).init(keys.root(0))
  for before, after in zip(plain[::2], made[::2]):
    ratio = (after / before).numpy().reshape(-1, before.shape[-1])
    np.testing.assert_allclose(ratio, np.tile(ratio[:1], [len(ratio), 1]), rtol=1e-4)
    assert (ratio > 0).all()
