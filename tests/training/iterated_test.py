"""Iterated retraining: N by hand in numpy, its end, its limits."""

import dataclasses

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.training import iterated
from fedsafe_tff.training.adaptation import Adaptation
from tests import small

IMAGES, LABELS = small.images(17, 9)
MODEL = small.linear()
START = MODEL.init(keys.root(1))
# One batch holds all: order plays no part.
BASE = Adaptation(
  attack="fgsm", eps=0.1, examples="iterated", epochs=3, batch_size=200, learning_rate=0.02,
  passes=5,
)


def run(model=MODEL, start=START, **changes):
  settings = dataclasses.replace(BASE, **changes)
  return settings(
    model, start, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(4)
  )


def errs(hand, images):
  z = images.reshape(len(images), -1) @ (hand.matrix[:, 1] - hand.matrix[:, 0])
  return (z + hand.bias[1] - hand.bias[0] > 0) != LABELS


def logistic(hand, x, y):
  return hand.loss(x, y) * len(x) if len(x) else 0.0


def test_passes_by_hand():
  hand, clean = small.LinearByHand(START), IMAGES / 255.0
  pool, table = {}, []
  for _ in range(BASE.passes):
    extra = np.array([image for image, _ in pool.values()]).reshape(-1, *small.SHAPE) / 255.0
    x = np.concatenate([clean, extra])
    y = np.concatenate([LABELS, [label for _, label in pool.values()]])
    for _ in range(BASE.epochs):
      hand.step(x, y, BASE.learning_rate)
    change = (hand.fgsm(clean, LABELS, 0.1) - clean) * 255
    pixels = IMAGES + np.sign(change) * np.floor(np.abs(change) + 1e-3)
    wrong = errs(hand, pixels / 255)
    risk = (logistic(hand, clean, LABELS) + logistic(hand, extra, y[17:])) / 17
    attacked = np.where(wrong[:, None, None, None], pixels / 255, clean)
    new = [i for i in np.flatnonzero(wrong) if pixels[i].tobytes() not in pool]
    for i in new:
      pool[pixels[i].tobytes()] = (pixels[i], LABELS[i])
    table.append([len(new), len(pool), risk, hand.loss(attacked, LABELS)])
    if not new:
      break
  weights, metrics, told = run()
  assert table[0][0] > 0 and len(table) > 1  # the case says something
  np.testing.assert_allclose(told[: len(table)], table, atol=2e-4)
  assert (told[len(table):] == -1).numpy().all()
  np.testing.assert_allclose(weights[0], hand.matrix, atol=1e-4)
  assert metrics[2] == 17


def test_a_model_whose_own_loss_is_a_mean_is_judged_by_cross_entropy():
  own = dataclasses.replace(
    MODEL, losses_fn=lambda logits, labels: tf.reduce_mean(cross_entropy(logits, labels))
  )
  (weights, _, told), (expected, _, by_image) = run(own), run()
  np.testing.assert_allclose(told, by_image, atol=1e-4)
  np.testing.assert_allclose(weights[0], expected[0], atol=1e-5)


def test_where_nothing_is_new_it_ends_and_the_bound_holds():
  weights, _, table = run(epochs=40, passes=30, learning_rate=0.1)
  rows = table.numpy()[table.numpy()[:, 0] >= 0]
  assert len(rows) < 30 and rows[-1, 0] == 0 and rows[0, 0] > 0
  assert (np.diff(rows[:, 1]) >= 0).all()
  assert rows[-1, 3] <= rows[-1, 2] + 1e-6  # L_A <= L_N^R
  again, _, same = run(epochs=40, passes=30, learning_rate=0.1)
  np.testing.assert_array_equal(table, same)
  for left, right in zip(weights, again):
    np.testing.assert_array_equal(left, right)


def test_passes_one_by_one_give_the_bits_of_the_whole():
  settings = dataclasses.replace(BASE, batch_size=4, share=0.8)
  images, labels, key = tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(4)
  form = iterated.specs(MODEL.weight_specs(), small.SHAPE, BASE.passes)
  once = tf.function(
    lambda carried: settings.one_pass(MODEL, carried, images, labels, key), input_signature=[form]
  )
  carried, made = settings.begin(START, small.SHAPE), 0
  while not iterated.is_over(carried):
    # As a file gives it back.
    carried = tf.nest.map_structure(lambda tensor: tf.constant(tensor.numpy()), carried)
    carried, made = once(carried), made + 1
  whole = tf.function(lambda: settings(MODEL, START, images, labels, key))  # a graph as well
  weights, metrics, table = whole()
  assert made == int((table[:, 0] >= 0).numpy().sum()) > 1
  mine = (*carried.weights, carried.metrics, carried.table)
  for left, right in zip(mine, (*weights, metrics, table)):
    np.testing.assert_array_equal(left, right)


def test_examples_stay_in_the_ball_and_in_the_pixels():
  clean = tf.constant(IMAGES / np.float32(255))
  for eps in (0.012, 0.0301, 3 / 255):
    made = tf.clip_by_value(clean + eps, 0.0, 1.0)
    pixels = iterated._to_pixels(clean, made)
    assert (np.abs(pixels - IMAGES) <= eps * 255 + 1e-2).all()
    np.testing.assert_array_equal(
      pixels.numpy().max() - IMAGES.max(), np.floor(eps * 255 + 1e-3)
    )


def test_two_images_that_are_alike_give_one_example():
  images, labels = np.concatenate([IMAGES, IMAGES]), np.concatenate([LABELS, LABELS])
  settings = dataclasses.replace(BASE, batch_size=400)
  given = (tf.constant(images), tf.constant(labels, tf.int32), keys.root(4), settings)
  carried = iterated.one_pass(MODEL, _begun(), *given)
  made = carried.images.numpy().reshape(len(carried.images), -1)
  assert 0 < len(made) == len(np.unique(made, axis=0)) == carried.table[0, 0] <= 17


def test_passes_begin_at_other_points():
  """With weights that stay, a pass that climbed from the same points would find nothing new."""
  _, _, told = run(attack="pgd", steps=1, random_start=True, learning_rate=1e-12, passes=3)
  assert (told.numpy()[:, 0] > 0).all()


def _begun():
  return iterated.begin(START, IMAGES.shape[1:], BASE.passes)


def test_hashes_know_equal_from_unequal():
  images = np.random.default_rng(0).integers(0, 256, (50, *small.SHAPE)).astype(np.uint8)
  images[30] = images[4]
  images[31] = images[5]
  images[31, 0, 0, 0] ^= 1
  hashes, all_of = iterated._hashes(tf.constant(images)), np.full(50, True)

  def first_of(mask, values):
    return iterated._first_where(tf.constant(mask), values).numpy()

  assert len(set(hashes.numpy().tolist())) == 49
  np.testing.assert_array_equal(np.flatnonzero(~first_of(all_of, hashes)), [30])
  # The first of its kind is the first that counts: 4 does not, its twin 30 does.
  np.testing.assert_array_equal(
    np.flatnonzero(~first_of(all_of & (np.arange(50) != 4), hashes)), [4]
  )
  known = iterated._among(hashes, hashes[:10]).numpy()
  np.testing.assert_array_equal(np.flatnonzero(known), [*range(10), 30])
  assert not iterated._among(hashes, hashes[:0]).numpy().any()
