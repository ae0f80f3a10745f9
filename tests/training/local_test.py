import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.training import local
from fedsafe_tff.training.feeds import BatchFeed, ImageFeed
from fedsafe_tff.training.gradients import Adversarial, Plain
from fedsafe_tff.training.upload import Upload
from tests import small

IMAGES, LABELS = small.images(20, 0)
MODEL = small.model(dropout=0.0)
WEIGHTS = MODEL.init(keys.root(1))
COLUMN = {name: i for i, name in enumerate(local.METRICS)}
SGD = tff.learning.optimizers.build_sgdm


def feed(key, **settings):
  images, labels = tf.constant(IMAGES), tf.constant(LABELS, tf.int32)
  return ImageFeed(images, labels, keys.root(key), **({"batch_size": 8} | settings))


def update(key=2, weights=WEIGHTS, momentum=None, upload=None, gradient=None, **settings):
  return local.local_update(
    MODEL, weights, feed(key, **settings), keys.root(key), SGD(0.1, momentum),
    upload or Upload("weights"), gradient=gradient or Plain(), attack_eps=0.2,
  )


def long_update(**settings):
  """In a graph, as TFF has it: of many steps it is several times as fast."""
  return tf.function(lambda: update(**settings))()


def test_training_is_sgd_on_cross_entropy():
  """Equation 1 by a plain loop: two epochs, unshuffled batches of 8, 8 and 4."""
  weights = list(WEIGHTS)
  velocity = [np.zeros(w.shape, np.float32) for w in weights]
  for _ in range(2):
    for start in (0, 8, 16):
      x = tf.constant(IMAGES[start : start + 8] / np.float32(255))
      y = tf.constant(LABELS[start : start + 8], tf.int32)
      with tf.GradientTape() as tape:
        tape.watch(weights)
        p = tf.nn.log_softmax(MODEL.apply(weights, x))
        loss = -tf.reduce_mean(tf.gather(p, y, batch_dims=1))
      gradients = tape.gradient(loss, weights)
      velocity = [0.5 * v + g for v, g in zip(velocity, gradients)]
      weights = [w - 0.1 * v for w, v in zip(weights, velocity)]
  made, _ = update(epochs=2, momentum=0.5, shuffle=False)
  for left, right in zip(made, weights):
    np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("gradient", [Plain(), Adversarial(steps=1)])
def test_training_by_hand(gradient):
  """Equations 1 and, on FGSM examples, 5 in numpy, with labels of -1 and +1 as in the paper."""
  model = small.linear()
  start = model.init(keys.root(1))
  by_hand = small.LinearByHand(start)
  for _ in range(3):
    for begin in (0, 8, 16):
      x, y = IMAGES[begin : begin + 8] / 255.0, LABELS[begin : begin + 8]
      if isinstance(gradient, Adversarial):
        x = by_hand.fgsm(x, y, 0.1)
      by_hand.step(x, y, 0.02)
  made = local.train(
    model, start, feed(2, epochs=3, shuffle=False), keys.root(2), SGD(0.02), gradient=gradient,
    attack_eps=0.1,
  ).weights
  assert np.abs(made[0] - start[0]).max() > 0.01
  np.testing.assert_allclose(made[0], by_hand.matrix, atol=1e-5)
  np.testing.assert_allclose(made[1], by_hand.bias, atol=1e-5)


def test_a_data_set_of_batches_trains_as_the_same_images_in_memory():
  y = LABELS.astype(np.int64)[:, np.newaxis]  # as TFF's tutorials have them
  examples = tf.data.Dataset.from_tensor_slices({"x": IMAGES / np.float32(255), "y": y})
  settings = {"gradient": Adversarial(steps=2), "attack_eps": 0.1}
  batches = BatchFeed(examples.batch(8).repeat(2))
  found = local.train(MODEL, WEIGHTS, batches, keys.root(2), SGD(0.1), **settings)
  expected = local.train(
    MODEL, WEIGHTS, feed(2, epochs=2, shuffle=False), keys.root(2), SGD(0.1), **settings
  )
  for left, right in zip(found.weights, expected.weights):
    np.testing.assert_allclose(left, right, atol=1e-6)
  assert (found.count, expected.count) == (40, 20)  # TFF counts every pass
  pixels = BatchFeed(tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat(2))
  whole = local.train(MODEL, WEIGHTS, pixels, keys.root(2), SGD(0.1))
  again = feed(2, epochs=2, batch_size=20, shuffle=False)
  again = local.train(MODEL, WEIGHTS, again, keys.root(2), SGD(0.1))
  for left, right in zip(whole.weights, again.weights):
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_other_optimizers_take_the_steps_and_hyperparameters_reach_them():
  optimizer = tff.learning.optimizers.build_adam(0.5)
  settings = {"batch_size": 20, "shuffle": False}
  made = local.train(
    MODEL, WEIGHTS, feed(2, **settings), keys.root(2), optimizer,
    hparams={**optimizer.get_hparams(optimizer.initialize(tf.TensorSpec([]))),
             "learning_rate": tf.constant(0.01)},
  ).weights
  # Adam's first step is the rate times the gradient's sign.
  moved = np.concatenate([np.ravel(a - b) for a, b in zip(made, WEIGHTS)])
  moved = np.abs(moved[np.abs(moved) > 1e-4])
  assert len(moved) > 100 and np.median(moved) == pytest.approx(0.01, rel=0.01)


def test_no_noise_and_no_clip_is_plain_training_and_loss_falls():
  first = update(epochs=1)[1][COLUMN["loss"]]
  last = long_update(epochs=30)[1][COLUMN["loss"]]
  assert last < 0.5 * first


def test_same_key_same_bits():
  settings = {"ops": ("flip", "rotate"), "epochs": 2}
  for left, right in zip(update(**settings)[0], update(**settings)[0]):
    np.testing.assert_array_equal(left, right)
  assert any((a.numpy() != b.numpy()).any() for a, b in zip(update()[0], update(key=5)[0]))


def test_local_adversarial_training_lowers_the_adversarial_loss():
  """Eq. 5, by an attack of the size that was trained on."""
  from fedsafe_tff.attacks.fgsm import fgsm

  def adversarial_loss(weights):
    x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
    made = fgsm(lambda i: MODEL.apply(weights, i), x, y, eps=0.2)
    return float(tf.reduce_mean(cross_entropy(MODEL.apply(weights, made), y)))

  robust = long_update(key=0, epochs=40, gradient=Adversarial(steps=3))[0]
  assert adversarial_loss(robust) < adversarial_loss(long_update(key=0, epochs=40)[0])


def test_local_adversarial_training_attacks_the_weights_that_it_trains():
  """Eq. 5 by hand: one batch, two epochs, PGD of five steps of 2.5 eps / 5 in each."""
  from fedsafe_tff.attacks.pgd import random_point

  x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
  made = update(key=3, epochs=2, batch_size=20, shuffle=False, gradient=Adversarial(steps=5))[0]
  weights = list(WEIGHTS)
  for step in range(2):
    attacked = random_point(x, 0.2, keys.fold(keys.root(3), keys.ATTACK, step))
    for _ in range(5):
      with tf.GradientTape() as tape:
        tape.watch(attacked)
        loss = tf.reduce_sum(cross_entropy(MODEL.apply(weights, attacked), y))
      attacked += 0.1 * tf.sign(tape.gradient(loss, attacked))
      attacked = tf.clip_by_value(x + tf.clip_by_value(attacked - x, -0.2, 0.2), 0.0, 1.0)
    with tf.GradientTape() as tape:
      tape.watch(weights)
      loss = tf.reduce_mean(cross_entropy(MODEL.apply(weights, attacked), y))
    weights = [w - 0.1 * g for w, g in zip(weights, tape.gradient(loss, weights))]
  for left, right in zip(made, weights):
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_the_gradient_of_every_step_is_scaled_down():
  def moved(clip):
    made = local.train(
      MODEL, WEIGHTS, feed(2, batch_size=20), keys.root(2), SGD(1.0), gradient_clip=clip
    ).weights
    return np.sqrt(sum(((a - b).numpy() ** 2).sum() for a, b in zip(made, WEIGHTS)))

  assert moved(0.0) > 0.05 and moved(0.01) == pytest.approx(0.01, rel=1e-3)


def test_weight_decay_pulls_kernels_alone_and_after_the_clip():
  """A step with it is a step without, less rate times decay times the kernels themselves."""

  def moved(**how):
    return local.train(
      MODEL, WEIGHTS, feed(1, batch_size=20), keys.root(2), SGD(0.5), gradient_clip=0.01, **how
    ).weights

  kernels = [len(w.shape) > 1 for w in WEIGHTS]
  assert any(kernels) and not all(kernels)
  for plain, pulled, before, kernel in zip(moved(), moved(weight_decay=0.2), WEIGHTS, kernels):
    want = plain - 0.5 * 0.2 * before if kernel else plain
    np.testing.assert_allclose(pulled, want, rtol=1e-5, atol=1e-7)
    assert not kernel or np.abs(pulled - plain).max() > 1e-3
