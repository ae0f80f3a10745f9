"""Broken mechanisms are refuted, a right one is not."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import account, dp_sgd_releases
from fedsafe_tff.privacy.audit.canaries import mislabelled, pixel_canaries, watched_training
from fedsafe_tff.privacy.audit.one_run import audit, coins
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.privacy.solving import calibrate
from fedsafe_tff.training.steps import training_gradient
from tests import small

CANARIES, DELTA, STATED, CLIP = 250, 1e-5, 1.5, 0.05
MODEL = small.linear()
WEIGHTS = (tf.zeros([256, 2]), tf.zeros([2]))


@dataclasses.dataclass(frozen=True)
class Case:
  """A training: its mechanism as it should be."""

  records: int
  rate: float
  steps: int

  @functools.cached_property
  def noise(self):
    return calibrate(
      lambda z: dp_sgd_releases(noise_multiplier=z, steps=self.steps, sampling_rate=self.rate),
      STATED,
      DELTA,
    )

  @functools.cached_property
  def right(self):
    return DpSgd(CLIP, self.noise, self.rate * (self.records + CANARIES / 2))


SAMPLED, WHOLE = Case(20, 0.3, 16), Case(0, 1.0, 4)


def noise_forgotten(right):
  return dataclasses.replace(right, noise_multiplier=0.0)


def clip_per_batch(right):
  """The mean gradient is clipped, and noised as if each example were."""

  def gradient(model, weights, x, y, *, key, step):
    logits, losses, gradients = training_gradient(model, weights, x, y, key)
    gradients, _ = tf.clip_by_global_norm(gradients, CLIP)
    noise = right(model, weights, x[:0], y[:0], key=key, step=step)[2]
    return logits, losses, tuple(g + n for g, n in zip(gradients, noise))

  return gradient


def same_noise(right):
  """The key of the noise does not fold the step in."""

  def gradient(model, weights, x, y, *, key, step):
    quiet = noise_forgotten(right)(model, weights, x, y, key=key, step=step)
    noise = right(model, weights, x[:0], y[:0], key=key, step=0)[2]
    return *quiet[:2], tuple(g + n for g, n in zip(quiet[2], noise))

  return gradient


def bound(case, gradient, seed=0):
  included = coins(CANARIES, seed)
  images, labels = small.images(case.records, seed=3)
  scores = watched_training(
    MODEL,
    WEIGHTS,
    tf.constant(images, tf.float32) / 255.0,
    tf.constant(labels, tf.int32),
    pixel_canaries(small.SHAPE, CANARIES, 2, seed),
    included,
    gradient,
    rate=case.rate,
    steps=case.steps,
    learning_rate=0.1,
    clip_norm=CLIP,
    key=keys.root(7 + seed),
  )
  return audit(scores, included, DELTA)


@pytest.mark.parametrize("case", [SAMPLED, WHOLE])
def test_the_stated_epsilon_is_that_of_the_accounting(case):
  releases = dp_sgd_releases(
    noise_multiplier=case.noise, steps=case.steps, sampling_rate=case.rate
  )
  assert 0.99 * STATED < account(releases, DELTA).epsilon <= STATED


@pytest.mark.parametrize(
  "case,broken", [(SAMPLED, noise_forgotten), (WHOLE, clip_per_batch), (SAMPLED, same_noise)]
)
def test_a_broken_mechanism_is_refuted(case, broken):
  found = bound(case, broken(case.right))
  assert found.refutes(STATED), found.sentence(STATED)


@pytest.mark.parametrize("case,seed", [(SAMPLED, 0), (SAMPLED, 1), (WHOLE, 0)])
def test_a_right_one_is_not(case, seed):
  found = bound(case, case.right, seed)
  assert not found.refutes(STATED), found.sentence(STATED)


def test_canaries_light_one_pixel_each():
  images, labels = pixel_canaries((4, 4, 1), 16, 3, 0)
  assert images.shape == (16, 4, 4, 1) and (images.sum((1, 2, 3)) == 1).all()
  assert len(np.unique(images, axis=0)) == 16 and set(labels) <= {0, 1, 2}
  with pytest.raises(UserError, match="17 canaries need 17 pixels"):
    pixel_canaries((4, 4, 1), 17, 3, 0)
  assert (mislabelled(images, labels, 3) != labels).all()
