import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.training import adaptation, local, server_examples
from fedsafe_tff.training.feeds import ImageFeed
from tests import small

IMAGES, LABELS = small.images(17, 9)
MODEL = small.model(dropout=0.0)
BASE = adaptation.Adaptation(eps=0.1, steps=3, epochs=1, batch_size=32, learning_rate=0.05)
TRAINED = local.train(
  MODEL,
  MODEL.init(keys.root(1)),
  ImageFeed(
    tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(0), batch_size=8, epochs=30
  ),
  keys.root(0),
  tff.learning.optimizers.build_sgdm(0.1),
).weights


def adapt(**changes):
  settings = dataclasses.replace(BASE, **changes)
  return adaptation.adapt(
    MODEL, TRAINED, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(4), settings
  )


def test_one_step_is_the_gradient_over_clean_and_adversarial():
  """Algorithm 1, 10 and 11, with FGSM and one batch, by hand."""
  x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
  with tf.GradientTape() as tape:
    tape.watch(x)
    loss = tf.reduce_sum(cross_entropy(MODEL.apply(TRAINED, x), y))
  adversarial = tf.clip_by_value(x + 0.1 * tf.sign(tape.gradient(loss, x)), 0, 1)
  with tf.GradientTape() as tape:
    tape.watch(TRAINED)
    logits = MODEL.apply(TRAINED, tf.concat([x, adversarial], 0))
    loss = tf.reduce_mean(cross_entropy(logits, tf.concat([y, y], 0)))
  gradients = tape.gradient(loss, TRAINED)
  made, metrics = adapt(attack="fgsm")
  for new, old, gradient in zip(made, TRAINED, gradients):
    np.testing.assert_allclose(new, old - 0.05 * gradient, atol=1e-5)
  np.testing.assert_allclose(metrics[0], loss, atol=1e-5)
  assert metrics[2] == 17


def test_epochs_by_hand():
  """Equations 8 to 10 in numpy: the examples are made once, every image enters twice."""
  model = small.linear()
  start = model.init(keys.root(1))
  by_hand = small.LinearByHand(start)
  clean = IMAGES / 255.0
  x = np.concatenate([clean, by_hand.fgsm(clean, LABELS, 0.1)])
  y = np.concatenate([LABELS, LABELS])
  for _ in range(4):
    loss = by_hand.loss(x, y)
    by_hand.step(x, y, 0.05)
  settings = dataclasses.replace(BASE, attack="fgsm", epochs=4)
  made, metrics = adaptation.adapt(
    model, start, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(4), settings
  )
  np.testing.assert_allclose(made[0], by_hand.matrix, atol=1e-5)
  np.testing.assert_allclose(made[1], by_hand.bias, atol=1e-5)
  np.testing.assert_allclose(metrics[0], loss, atol=1e-5)


def test_the_servers_pgd_examples_are_those_of_cleverhans():
  from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

  x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)

  def logits(inputs):
    return MODEL.apply(TRAINED, inputs)

  for changes, step in (({}, 0.1 / 3), ({"step_size": 0.05}, 0.05)):
    settings = dataclasses.replace(BASE, random_start=False, **changes)
    mine = server_examples.make_examples(MODEL, TRAINED, x, y, settings, keys.root(0))
    theirs = projected_gradient_descent(
      logits, x, 0.1, step, 3, np.inf, y=y, clip_min=0.0, clip_max=1.0, rand_init=False,
      sanity_checks=False,
    )
    np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_batches_cover_every_image_and_make_the_same_examples():
  """Crafting in batches must not change the examples: with rate 0 the loss tells."""
  whole = adapt(attack="fgsm", learning_rate=1e-12)[1]
  parts = adapt(attack="fgsm", learning_rate=1e-12, batch_size=5)[1]
  np.testing.assert_allclose(whole, parts, atol=1e-4)


def test_every_batch_begins_at_points_of_its_own():
  images = tf.repeat(tf.cast(IMAGES[:1], tf.float32) / 255.0, 4, axis=0)
  settings = dataclasses.replace(BASE, batch_size=2, steps=1, random_start=True)
  made = server_examples.make_all(
    MODEL, TRAINED, images, tf.repeat(tf.constant(LABELS[:1], tf.int32), 4), settings, keys.root(4)
  ).numpy()
  assert np.abs(made[:2] - made[2:]).max() > 0.01


def test_share_and_options():
  assert adapt(share=0.5)[1][2] == round(0.5 * 17)
  assert server_examples.share_size(17, 0.01) == 1 and server_examples.share_size(17, 1.0) == 17
  once = adapt(epochs=4, attack="fgsm")[0]
  anew = adapt(epochs=4, attack="fgsm", examples="each_epoch")[0]
  again = adapt(epochs=4, attack="fgsm", examples="each_epoch")[0]
  assert any((a.numpy() != b.numpy()).any() for a, b in zip(once, anew))
  for left, right in zip(anew, again):
    np.testing.assert_array_equal(left, right)


def test_adaptation_lowers_the_loss_on_adversarial_images():
  def adversarial_loss(weights):
    from fedsafe_tff.attacks.fgsm import fgsm

    x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
    made = fgsm(lambda i: MODEL.apply(weights, i), x, y, eps=0.1)
    return float(tf.reduce_mean(cross_entropy(MODEL.apply(weights, made), y)))

  assert adversarial_loss(adapt(epochs=20)[0]) < adversarial_loss(TRAINED)


def test_images_in_0_to_1_are_adapted_on_as_their_pixels():
  pixels = adapt()[0]
  floats = adaptation.adapt(
    MODEL, TRAINED, tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32),
    keys.root(4), BASE,
  )[0]
  for left, right in zip(pixels, floats):
    np.testing.assert_allclose(left, right, atol=1e-6)
