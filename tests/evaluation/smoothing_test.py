import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.smoothing import ABSTAIN, Smoother, linf_radius
from fedsafe_tff.models.functional import FunctionalModel
from tests import small

# Two classes, linear: class 1 where the mean of the pixels is above a half. Smoothing changes
# nothing, and how far an image is from the border is known.
SHAPE = (2, 2, 1)
PLANE = FunctionalModel(
  "plane",
  SHAPE,
  2,
  lambda key: (tf.constant(0.5),),
  lambda w, x, key, training: tf.stack(
    [tf.zeros(tf.shape(x)[0]), tf.reduce_mean(x, axis=[1, 2, 3]) - w[0]], 1
  ),
)
WEIGHTS = (tf.constant(0.5),)
LEVELS = np.linspace(0.05, 0.95, 10)
IMAGES = np.tile(LEVELS.reshape(-1, 1, 1, 1), (1, *SHAPE)).astype(np.float32)
DISTANCE = 2 * np.abs(LEVELS - 0.5)  # L2, of four equal pixels
LABELS = (LEVELS > 0.5).astype(np.int32)
SIGMA = 0.4


@pytest.fixture(scope="module")
def smoother():
  return Smoother(PLANE, SIGMA, batch_size=64)


def test_counts_follow_the_normal_distribution(smoother):
  counts = smoother.counts(WEIGHTS, IMAGES[3], 4000, keys.root(0))
  assert counts.sum() == 4000
  expected = scipy.stats.norm.cdf(DISTANCE[3] / SIGMA)
  assert abs(counts[0] / 4000 - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)
  again = smoother.counts(WEIGHTS, IMAGES[3], 4000, keys.root(0))
  np.testing.assert_array_equal(counts, again)


def test_the_last_batch_may_be_small(smoother):
  for samples in (1, 63, 64, 65):
    assert smoother.counts(WEIGHTS, IMAGES[0], samples, keys.root(1)).sum() == samples


def test_radii_are_lower_bounds_of_the_true_ones_and_come_near(smoother):
  found = smoother.certify(WEIGHTS, IMAGES, key=keys.root(2), n0=50, n=2000, alpha=0.001)
  sure = found.predicted != ABSTAIN
  assert (found.predicted[sure] == LABELS[sure]).all() and sure.mean() >= 0.8
  assert (found.radius <= DISTANCE).all()
  largest = SIGMA * scipy.stats.norm.ppf(0.001 ** (1 / 2000))
  assert found.radius.max() <= largest + 1e-9
  near = np.minimum(DISTANCE, largest)[sure]
  assert (found.radius[sure] > 0.6 * near - 0.05).all()
  assert not found.radius[~sure].any()


def test_radii_are_the_papers_formula(smoother):
  found = smoother.certify(WEIGHTS, IMAGES[:1], key=keys.root(2), n0=20, n=300, alpha=0.01)
  own = keys.fold(keys.root(2), keys.SMOOTHING, 0, 1)
  hits = smoother.counts(WEIGHTS, IMAGES[0], 300, own)[0]
  low = scipy.stats.binomtest(int(hits), 300, alternative="greater")
  bound = low.proportion_ci(confidence_level=0.99, method="exact").low
  assert found.radius[0] == pytest.approx(SIGMA * scipy.stats.norm.ppf(bound), rel=1e-6)


def test_certificates_hold_with_the_confidence_that_they_have(smoother):
  """On one image, far less sure than usual: the bound is above the truth in alpha of the cases."""
  image = IMAGES[3:4].repeat(150, axis=0)
  found = smoother.certify(WEIGHTS, image, key=keys.root(5), n0=10, n=100, alpha=0.2)
  wrong = (found.radius > DISTANCE[3]).mean()
  assert 0.05 < wrong < 0.2 + 3 * np.sqrt(0.2 * 0.8 / 150)


def test_certified_accuracy_falls_with_the_radius(smoother):
  found = smoother.certify(WEIGHTS, IMAGES, key=keys.root(2), n0=50, n=500)
  curve = found.certified_accuracy(LABELS, [0.0, 0.2, 0.5, 10.0])
  assert (np.diff(curve) <= 0).all() and curve[0] >= 0.6 and curve[-1] == 0
  wrong = found.certified_accuracy(1 - LABELS, [0.0])
  assert wrong[0] == 0


def test_no_attack_within_the_radius_changes_the_smoothed_answer(smoother):
  found = smoother.certify(WEIGHTS, IMAGES[:2], key=keys.root(2), n0=50, n=1000)
  moved = IMAGES[:2] + 0.98 * found.radius.reshape(2, 1, 1, 1).astype(np.float32) / 2  # L2 length
  answers = smoother.predict(WEIGHTS, moved, key=keys.root(9), n=4000, alpha=0.01)
  np.testing.assert_array_equal(answers, found.predicted)


def test_prediction_abstains_where_it_is_a_toss(smoother):
  border = np.full([3, *SHAPE], 0.5, np.float32)
  assert (smoother.predict(WEIGHTS, border, key=keys.root(1), n=200) == ABSTAIN).all()
  far = smoother.predict(WEIGHTS, IMAGES[[0, -1]], key=keys.root(1), n=200)
  np.testing.assert_array_equal(far, [0, 1])


def test_prediction_asks_of_the_two_most_frequent_classes_alone(smoother, monkeypatch):
  """Draws of a third say nothing of which of the two it is: 60 of 85, not of 100."""
  monkeypatch.setattr(smoother, "counts", lambda *_: np.array([15, 60, 25], np.int32))
  p = 2 * sum(math.comb(85, heads) for heads in range(60, 86)) / 2**85
  for alpha, expected in ((1.001 * p, 1), (0.999 * p, ABSTAIN)):
    (found,) = smoother.predict(WEIGHTS, IMAGES[:1], key=keys.root(0), n=100, alpha=alpha)
    assert found == expected


def test_uint8_images_and_networks_are_taken_too():
  model = small.model()
  images, _ = small.images(2, 0)
  found = Smoother(model, 0.1, batch_size=8).certify(
    model.init(keys.root(0)), images, key=keys.root(0), n0=5, n=10, alpha=0.3
  )
  assert found.predicted.shape == (2,) and found.samples == 15


def test_the_inscribed_ball():
  assert linf_radius(0.5, (100, 100, 1)) == pytest.approx(0.005)


@pytest.mark.parametrize(
  "make",
  [
    lambda s: Smoother(PLANE, 0.0),
    lambda s: s.certify(WEIGHTS, IMAGES, key=keys.root(0), n=0),
    lambda s: s.certify(WEIGHTS, IMAGES, key=keys.root(0), alpha=1.0),
  ],
)
def test_bad_settings_are_user_errors(smoother, make):
  with pytest.raises(UserError, match="sigma above 0|at least 1 and alpha"):
    make(smoother)
