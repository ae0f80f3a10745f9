import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.result import AttackResult, coalition, outsiders
from fedsafe_tff.evaluation.statistics import wilson_ends
from fedsafe_tff.evaluation.strata import NO_ANSWER, Strata, majority, tabulate


@pytest.mark.parametrize("hits, count", [(0, 5), (3, 10), (10, 10), (57, 200)])
def test_wilsons_interval_is_scipys(hits, count):
  theirs = scipy.stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
  np.testing.assert_allclose(wilson_ends(hits / count, count), theirs, atol=1e-12)


def test_no_trials_no_interval():
  assert all(math.isnan(end) for end in wilson_ends(0.0, 0))


def test_majority_of_slices():
  unit = np.array([0, 0, 0, 1, 1, 2])
  values = np.array([[1, 1, 0, 0, 1, 2], [0, 2, 2, 1, 1, 0]])
  assert majority(values, unit, 3).tolist() == [[1, NO_ANSWER, 2], [2, 1, 0]]


def result(clean, attacked, colluders=1):
  clean, attacked = np.array(clean), np.array(attacked)
  count = len(clean)
  return AttackResult(
    AttackSpec("pgd", 0.1, steps=2),
    flipped=attacked != clean,
    right=attacked == LABELS,
    clean_right=clean == LABELS,
    outside=outsiders([coalition(client, colluders, count) for client in range(count)]),
    random_noise_flip=np.zeros(count),
    zero_gradient=np.zeros(count),
    predicted=attacked,
    clean_predicted=clean,
  )


CLEAN = [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0]]
ATTACKED = [
  [[1, 1, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0]],
  [[0, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 1]],
]
LABELS = np.array([0, 0, 1, 1, 1, 0])


def test_rows_by_site_and_patient():
  strata = Strata(
    LABELS, sites=["A", "A", "A", "B", "B", "B"], patients=["x", "x", "y", "z", "z", ""],
    held_out=frozenset({"B"}),
  )  # fmt: skip
  rows = {(r["site"], r["unit"]): r for r in tabulate(strata, result(CLEAN, ATTACKED))}
  assert set(rows) == {(s, u) for s in ("all", "A", "B") for u in ("image", "patient")}
  images = rows["all", "image"]
  assert images["count"] == 6 and images["accuracy"] == pytest.approx((5 / 6 + 6 / 6) / 2)
  assert images["asr_self"] == pytest.approx((3 / 6 + 6 / 6) / 2)
  assert images["asr_avg"] == pytest.approx((0 / 6 + 1 / 6) / 2)
  assert images["accuracy_low"] is None  # slices of a patient are not independent
  patients = rows["A", "patient"]
  assert patients["count"] == 2 and patients["accuracy"] == 1.0
  # Of A's two patients, x is flipped on the first copy; on the second both are.
  assert patients["asr_self"] == pytest.approx((1 / 2 + 2 / 2) / 2)
  # The first copy, attacked through the second, has no answer for x: 0 and 1 tie.
  assert patients["asr_avg"] == pytest.approx((0 + 1 / 2) / 2)
  assert (patients["accuracy_low"], patients["accuracy_high"]) == wilson_ends(1.0, 2)
  assert rows["B", "image"]["held_out"] == "yes" and rows["A", "image"]["held_out"] == "no"
  assert rows["B", "patient"]["count"] == 2  # an image without a patient is one of its own


def test_an_image_that_one_of_several_attacks_puts_wrong_is_not_right():
  """Wrong when clean, it may be put right by another, whose label then stands for the flip."""
  one = dataclasses.replace(result(CLEAN, [CLEAN, CLEAN]), right=np.zeros([2, 2, 6], bool))
  everything, _ = tabulate(Strata(LABELS, sites=["A"] * 6), one)
  assert everything["accuracy"] > 0.8 and everything["attack_accuracy_self"] == 0


def test_without_patients_the_interval_is_over_images():
  rows = tabulate(Strata(LABELS, sites=["A"] * 6), result(CLEAN, ATTACKED))
  assert [r["unit"] for r in rows] == ["image", "image"]
  assert (rows[0]["asr_self_low"], rows[0]["asr_self_high"]) == wilson_ends(0.75, 6)


def test_without_sites_and_patients_there_are_no_rows():
  assert tabulate(Strata(LABELS), result(CLEAN, ATTACKED)) == []


def test_one_client_has_no_others():
  rows = tabulate(Strata(LABELS, sites=["A"] * 6), result(CLEAN[:1], [ATTACKED[0][:1]]))
  assert rows[0]["asr_avg"] is None and rows[0]["asr_avg_low"] is None


def test_a_patient_whose_image_some_attack_leaves_wrong_is_not_right():
  """Another attack flips it to the right label, which is the one that is kept."""
  flipped = np.ones([1, 1, 1], bool)
  kept = AttackResult(
    AttackSpec("pgd", 0.1, steps=2), flipped=flipped, right=~flipped,
    clean_right=np.zeros([1, 1], bool), outside=outsiders([[0]]), random_noise_flip=np.zeros(1),
    zero_gradient=np.zeros(1), predicted=np.zeros([1, 1, 1], int),
    clean_predicted=np.ones([1, 1], int),
  )  # fmt: skip
  image, patient = tabulate(Strata(np.array([0]), patients=["x"]), kept)
  assert image["asr_self"] == patient["asr_self"] == 1.0
  assert image["attack_accuracy_self"] == patient["attack_accuracy_self"] == 0.0
