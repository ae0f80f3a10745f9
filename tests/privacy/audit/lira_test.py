"""LiRA on models that know their images by heart, and on one that never had them."""

import numpy as np
import pytest
from scipy import stats

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.audit import lira
from fedsafe_tff.privacy.audit.membership import judged

IMAGES, FEATURES, SHADOWS = 160, 200, 8
RNG = np.random.default_rng(3)
X = RNG.normal(size=(IMAGES, FEATURES))
LABELS = RNG.integers(0, 2, IMAGES)  # at random: whoever predicts them has learnt them by heart
TRAINED = np.concatenate([
  np.stack([half, ~half])
  for half in (lira.halves(np.arange(IMAGES), LABELS, pair, 5) for pair in range(SHADOWS // 2))
])  # fmt: skip


def logits_of(rows, x=X, labels=LABELS):
  """Logits on all images of a logistic regression that is trained on some."""
  weights = np.zeros(FEATURES)
  for _ in range(60):
    slope = 1 / (1 + np.exp(-x[rows] @ weights)) - labels[rows]
    weights -= 0.5 / len(labels) * x[rows].T @ slope
  return np.stack([np.zeros(IMAGES), X @ weights], 1)


def attacked(target):
  shadows = np.stack([logits_of(np.flatnonzero(rows)) for rows in TRAINED])
  of = [lira.confidence(logits, LABELS) for logits in (target, shadows)]
  return lira.scores(*of, TRAINED)


def judge(scores, truth):
  (found,) = judged({"LiRA": scores}, truth, bootstraps=100)
  return found


def test_who_knows_images_by_heart_is_told():
  truth = (np.arange(IMAGES) % 2).astype(int)
  found = judge(attacked(logits_of(np.flatnonzero(truth))), truth)
  assert found.auc > 0.9 and found.low > 0.85
  assert 0 < found.found_low <= found.true_positives <= found.found_high <= 1


def test_a_model_of_other_images_is_at_chance():
  truth = (np.arange(IMAGES) % 2).astype(int)
  elsewhere = np.random.default_rng(8)
  others, labels = elsewhere.normal(size=X.shape), elsewhere.integers(0, 2, IMAGES)
  found = judge(attacked(logits_of(np.arange(80), others, labels)), truth)
  assert found.low < 0.5 < found.high


def test_scores_by_hand():
  trained = np.array([[True], [True], [False], [False]])
  shadows = np.array([[4.0], [2.0], [0.0], [-2.0]])
  ratio = stats.norm.logpdf(2.5, 3, 1) - stats.norm.logpdf(2.5, -1, 1)
  np.testing.assert_allclose(lira.scores(np.array([2.5]), shadows, trained), [ratio])


def test_two_shadows_rank_images_as_any_common_variance_does():
  trained = np.array([[True, True, False], [False, False, True]])
  shadows = np.array([[3.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
  target = np.array([2.0, 2.0, 0.1])
  found = lira.scores(target, shadows, trained)
  inside, outside = np.array([3.0, 1.0, 1.0]), np.array([0.0, 0.5, 0.0])
  wanted = (target - outside) ** 2 / 2 - (target - inside) ** 2 / 2
  np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("count", [8, lira.MANY])
def test_scores_are_those_of_tensorflow_empirical_privacy(count):
  advanced_mia = pytest.importorskip(
    "tensorflow_privacy.privacy.privacy_tests.membership_inference_attack.advanced_mia"
  )
  rng = np.random.default_rng(0)
  logits, labels = 2 * rng.normal(size=(count + 1, 50, 3)), rng.integers(0, 3, 50)
  trained = np.concatenate([
    np.stack([half, ~half])
    for half in (lira.halves(np.arange(50), labels, pair, 0) for pair in range(count // 2))
  ])  # fmt: skip
  made = lira.confidence(logits, labels)
  for one, wanted in zip(logits, made):
    np.testing.assert_allclose(advanced_mia.calculate_statistic(one.copy(), labels), wanted)
  sides = [
    [made[1:][side[:, i], i][:, np.newaxis] for i in range(50)] for side in (trained, ~trained)
  ]
  theirs = advanced_mia.compute_score_lira(
    made[0][:, np.newaxis], *sides, fix_variance=count < lira.MANY
  )
  np.testing.assert_allclose(lira.scores(made[0], made[1:], trained), -theirs, rtol=1e-6)


@pytest.mark.parametrize("count", [lira.MANY - 2, lira.MANY])
def test_from_so_many_on_every_image_has_variances_of_its_own(count):
  rng = np.random.default_rng(1)
  trained = np.arange(count)[:, np.newaxis] % 2 == np.arange(6) % 2
  shadows = rng.normal(size=(count, 6)) * np.linspace(0.5, 3, 6) + trained
  target, wanted = rng.normal(size=6), np.zeros(6)
  for sign, side in ((1, trained), (-1, ~trained)):
    values = [shadows[side[:, i], i] for i in range(6)]
    off = [v - np.median(v) for v in values]
    together = np.concatenate(off).std()
    for i, own in enumerate(off):
      wide = own.std() if count == lira.MANY else together
      wanted[i] += sign * stats.norm.logpdf(target[i], np.median(values[i]), wide)
  np.testing.assert_allclose(lira.scores(target, shadows, trained), wanted)


def test_confidence_by_hand_and_at_extremes():
  logits = np.array([[np.log(3.0), 0.0, 0.0], [900.0, -900.0, -900.0]])
  found = lira.confidence(logits, np.array([0, 1]))
  assert found[0] == pytest.approx(np.log(0.6 / 0.4))
  assert found[1] == pytest.approx(-1800.0)


def test_every_image_is_in_one_of_a_pair_and_units_stay_together():
  rng = np.random.default_rng(1)
  units = np.sort(rng.integers(0, 40, 100))
  labels = (units % 2).astype(int)
  drawn = [lira.halves(units, labels, pair, 7) for pair in range(6)]
  for half in drawn:
    assert abs(half.sum() - 50) <= 4
    assert abs((half & (labels == 0)).sum() - (labels == 0).sum() / 2) <= 4
    for unit in np.unique(units):
      assert len(set(half[units == unit])) == 1
  np.testing.assert_array_equal(drawn[2], lira.halves(units, labels, 2, 7))
  assert any((drawn[0] != other).any() for other in drawn[1:])
  often = np.mean([lira.halves(units, labels, pair, 7) for pair in range(200)], axis=0)
  assert 0.3 < often.min() and often.max() < 0.7  # of no image it is known beforehand


def test_what_can_not_be():
  for count in (0, 1, 3, -2):
    with pytest.raises(UserError, match=f"--shadows={count}: shadow models come in pairs"):
      lira.check_count(count)
  lira.check_count(2)
  trained = np.array([[True, True], [False, True]])
  with pytest.raises(UserError, match="out of one"):
    lira.scores(np.zeros(2), np.zeros((2, 2)), trained)
  with pytest.raises(UserError, match="not finite"):
    lira.scores(np.array([np.nan, 0]), np.zeros((2, 2)), ~np.eye(2, dtype=bool))
