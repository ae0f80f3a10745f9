"""Membership inference on outputs whose leak is known."""

import numpy as np
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.audit.membership import (
  difference,
  empirical_privacy_suite,
  features,
  judged,
  membership_inference,
)


def outputs(count, confidence, seed):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 3, count)
  logits = rng.normal(size=(count, 3))
  logits[np.arange(count), labels] += confidence
  return logits, labels


def test_a_model_that_knows_its_images_by_heart_is_told():
  found = membership_inference(outputs(300, 4.0, 0), outputs(200, 0.5, 1), bootstraps=40)
  best = found[0]
  assert best.auc > 0.9 and best.low > 0.85 and best.advantage > 0.7
  assert [f.auc for f in found] == sorted((f.auc for f in found), reverse=True)
  assert {f.attack for f in found} >= {"threshold on loss", "logistic regression"}
  assert all(f.low <= f.auc <= f.high for f in found)


def test_one_that_does_not_is_at_chance():
  found = membership_inference(outputs(400, 1.0, 0), outputs(400, 1.0, 1), bootstraps=40)
  assert all(f.low < 0.5 < f.high or abs(f.auc - 0.5) < 0.05 for f in found)
  assert found[0].auc < 0.58  # the regression is not judged on what it was fitted on


def test_auc_of_a_threshold_by_hand():
  members = np.log([[0.9, 0.1], [0.6, 0.4]] * 5), np.zeros(10, int)
  others = np.log([[0.7, 0.3], [0.2, 0.8]] * 5), np.zeros(10, int)
  found = {f.attack: f for f in membership_inference(members, others, bootstraps=0)}
  # 0.9 beats both, 0.6 one of two: three of four pairs.
  assert found["threshold on loss"].auc == pytest.approx(0.75)


def test_features_by_hand_and_at_extremes():
  made = features(np.array([[np.log(3.0), 0.0], [500.0, -500.0]]), np.array([0, 1]))
  assert made["loss"][0] == pytest.approx(np.log(0.75))
  assert made["confidence"][0] == pytest.approx(np.log(0.75))
  entropy = 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
  assert made["entropy"][0] == pytest.approx(entropy)
  assert made["margin"][1] == -1000.0 and np.isfinite(made["loss"]).all()


def test_too_few_images():
  with pytest.raises(UserError, match="at least 10 members"):
    membership_inference(outputs(9, 1.0, 0), outputs(50, 1.0, 1))


def test_the_suite_of_tensorflow_empirical_privacy_or_how_to_get_it():
  sides = outputs(200, 4.0, 0), outputs(200, 0.5, 1)
  try:
    found = empirical_privacy_suite(*sides)
  except UserError as error:
    assert "pip install --no-deps tensorflow-empirical-privacy" in str(error)
    pytest.skip("tensorflow-empirical-privacy is not installed")
  ours = {f.attack: f.auc for f in membership_inference(*sides, bootstraps=0)}
  assert abs(found["THRESHOLD_ATTACK"][0] - max(ours.values())) < 0.1
  assert found["LOGISTIC_REGRESSION"][0] > 0.8


def test_a_difference_is_paired_where_images_are_the_same():
  rng = np.random.default_rng(2)
  truth = np.repeat([1, 0], [150, 150])
  shared = rng.normal(size=300)
  weak, strong = shared + 0.2 * truth, shared + 0.5 * truth
  paired = difference(strong, truth, weak, truth, paired=True, bootstraps=100)
  alone = difference(strong, truth, weak, truth, paired=False, bootstraps=100)
  assert paired.auc == alone.auc > 0 and paired.paired and not alone.paired
  assert 0 < paired.low < paired.auc < paired.high
  assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
  same = difference(weak, truth, weak, truth, paired=True, bootstraps=20)
  assert same.low == same.auc == same.high == 0


def test_who_is_found_has_an_interval_of_wilson():
  scores = np.array([3.0] * 5 + [0.0] * 15 + [1.0] * 20)
  (found,) = judged({"any": scores}, np.repeat([1, 0], [20, 20]), bootstraps=20)
  assert found.true_positives == 0.25
  # Wilson's interval of 5 of 20, as R's prop.test(5, 20, correct=FALSE) has it.
  assert (found.found_low, found.found_high) == pytest.approx((0.1119, 0.4687), abs=1e-4)
