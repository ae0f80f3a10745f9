"""Images come back from a plain gradient, and do not from a private one."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.audit.inversion import invert, similarity
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.training.steps import training_gradient

SHAPE = (12, 12, 1)


def model():
  """One smooth hidden layer: what gradients of it tell, an attacker finds in few steps."""

  def init(key):
    first = tf.random.stateless_normal([144, 32], keys.fold(key, 0), stddev=0.1, alg=keys.ALG)
    last = tf.random.stateless_normal([32, 2], keys.fold(key, 1), stddev=0.3, alg=keys.ALG)
    return first, tf.zeros([32]), last, tf.zeros([2])

  def apply(weights, x, key, training):
    del key, training
    hidden = tf.nn.sigmoid(tf.reshape(x, [-1, 144]) @ weights[0] + weights[1])
    return hidden @ weights[2] + weights[3]

  return FunctionalModel("smooth", SHAPE, 2, init, apply)


MODEL = model()
WEIGHTS = MODEL.init(keys.root(1))


def pictures(count, seed):
  """Discs at places of their own."""
  rng = np.random.default_rng(seed)
  grid = np.indices(SHAPE[:2])
  centres = rng.uniform(3, 9, (count, 2, 1, 1))
  distance = np.sqrt(((grid - centres) ** 2).sum(1))
  return np.clip(3.5 - distance, 0, 1).astype(np.float32)[..., np.newaxis]


def gradient(x, y, noise=0.0):
  if not noise:
    return training_gradient(MODEL, WEIGHTS, tf.constant(x), tf.constant(y), keys.root(0))[2]
  dp = DpSgd(1.0, noise, len(y))
  return dp(MODEL, WEIGHTS, tf.constant(x), tf.constant(y), key=keys.root(2), step=0)[2]


def test_one_image_comes_back_from_its_gradient_and_not_from_a_private_one():
  x, y = pictures(1, 0), [1]
  plain = invert(MODEL, WEIGHTS, gradient(x, y), y, steps=200)
  private = invert(MODEL, WEIGHTS, gradient(x, y, noise=1.0), y, steps=200)
  got, kept = (similarity(m.images, x, pictures(1, 9)) for m in (plain, private))
  assert got.ssim > 0.8 and got.correlation > 0.95 and got.ssim > got.control + 0.2
  assert kept.ssim < 0.3 and plain.mismatch < 0.01 < private.mismatch


def test_a_small_batch_comes_back_in_any_order():
  x, y = pictures(2, 3), [0, 1]
  made = invert(MODEL, WEIGHTS, gradient(x, y), y, steps=300, restarts=2)
  assert similarity(made.images, x).correlation > 0.8


def test_similarity_pairs_images_whatever_their_order():
  x = pictures(3, 0)
  same = similarity(x[::-1], x)
  assert same.ssim == pytest.approx(1.0, abs=1e-4) and same.psnr == pytest.approx(100.0)
  assert same.correlation == pytest.approx(1.0) and np.isnan(same.control)
  flat = similarity(np.full_like(x, 0.5), x)
  assert flat.correlation == 0.0 and flat.ssim < 0.5
