"""The checks of the paper's claims on numbers that decide them one way or the other."""

import pytest

from fedsafe_tff.sweep import adaptation_claims, robustness_claims
from fedsafe_tff.sweep.adaptation_claims import share_name
from fedsafe_tff.sweep.claim import FAILS, HOLDS, PARTLY, UNKNOWN, all_or_some
from tests.sweep.synthetic import ADVERSARIAL, NOISE, many, results

EMPTY = results()


def test_all_or_some():
  assert all_or_some([True, True]) == HOLDS
  assert all_or_some([True, False]) == PARTLY
  assert all_or_some([False]) == FAILS
  assert all_or_some([]) == UNKNOWN


def reduction(own, noise_spread=0.01):
  rows = results(many(ADVERSARIAL, 0.5, 0.3, spread=0.011), many(NOISE, own, 0.3,
                                                                  spread=noise_spread))
  return robustness_claims.reduction(rows, "asr_self", 0.08)


def test_a_reduction_that_is_large_and_certain_holds():
  claim = reduction(0.40)
  assert claim.verdict == HOLDS
  assert "Largest reduction: 0.102 (20% of 0.522), glioma, eps 0.05" in claim.evidence[0]
  assert "Lower in 1, higher in 0 of 1 cells; certainly lower in 1" in claim.evidence[1]


def test_a_smaller_but_certain_reduction_holds_in_part():
  assert reduction(0.46).verdict == PARTLY


def test_a_large_but_uncertain_reduction_holds_in_part():
  assert reduction(0.15, noise_spread=0.12).verdict == PARTLY


def test_an_increase_or_a_small_uncertain_reduction_does_not_hold():
  assert reduction(0.60).verdict == FAILS
  assert reduction(0.40, noise_spread=0.05).verdict == FAILS  # 0.022 lower, far from certain


def test_a_reduction_by_one_seed_is_never_certain():
  rows = results(many(ADVERSARIAL, 0.5, 0.3, seeds=[0]), many(NOISE, 0.1, 0.3, seeds=[0]))
  assert robustness_claims.reduction(rows, "asr_self", 0.08).verdict == PARTLY


def test_many_cells_raise_the_bar():
  """One cell in twelve that is certain by itself alone is not certain among twelve."""
  groups = []
  for number in range(12):
    gain = 0.012 if number == 0 else 0.0
    eps = 0.01 * (number + 1)
    before = many(ADVERSARIAL, 0.5, 0.3, eps=eps)
    after = many(NOISE, 0.5 - gain, 0.3, eps=eps)
    for shift, row in zip((0.01, -0.01, 0.004, -0.006, 0.002), after):
      row["asr_self"] += shift
    groups += [before, after]
  few = results(*groups[:2])
  p = few.compare("asr_self", {"method": ADVERSARIAL}, {"method": NOISE}).p
  assert p < 0.05
  assert robustness_claims.reduction(few, "asr_self", 0.08).verdict == PARTLY
  assert robustness_claims.reduction(results(*groups), "asr_self", 0.08).verdict == FAILS


def test_collapsed_models_decide_nothing():
  rows = results(
    many(ADVERSARIAL, 0.5, 0.3), many(NOISE, 0.0, 0.0, clean_accuracy=0.6),
    many("none", 0.9, 0.9), many(NOISE, 0.55, 0.3, task="pathology"),
    many(ADVERSARIAL, 0.5, 0.3, task="pathology"),
  )
  claim = robustness_claims.reduction(rows, "asr_self", 0.08)
  assert claim.verdict == FAILS  # glioma's perfect zero is left out
  assert "Left out, being no better than the majority class (†): glioma, distributed noise." in (
    claim.evidence
  )
  only = results(many(ADVERSARIAL, 0.5, 0.3), many(NOISE, 0.0, 0.0, clean_accuracy=0.6))
  assert robustness_claims.reduction(only, "asr_self", 0.08).verdict == UNKNOWN


def test_comparable_security():
  def verdict(own, other):
    rows = results(many(ADVERSARIAL, 0.5, 0.3), many(NOISE, own, other))
    return robustness_claims.comparable(rows).verdict

  assert verdict(0.51, 0.2) == HOLDS
  assert verdict(0.6, 0.2) == PARTLY
  assert verdict(0.6, 0.4) == FAILS


def test_self_over_avg():
  def verdict(adversarial, noise):
    rows = results(many(ADVERSARIAL, adversarial, 0.2), many(NOISE, noise, 0.2))
    return robustness_claims.self_over_avg(rows).verdict

  assert verdict(0.5, 0.6) == HOLDS
  assert verdict(0.2, 0.6) == PARTLY
  assert verdict(0.2, 0.3) == PARTLY  # above, though not twice
  assert verdict(0.2, 0.2) == FAILS
  assert robustness_claims.self_over_avg(results(many(NOISE, 0.3, 0.001))).verdict == UNKNOWN


def test_undefended_models_transfer():
  assert robustness_claims.undefended_transfers(results(many("none", 0.7, 0.7))).verdict == HOLDS
  assert robustness_claims.undefended_transfers(results(many("none", 0.7, 0.3))).verdict == FAILS


def test_rates_that_grow_with_the_perturbation():
  def claim(last):
    groups = [many(NOISE, a, 0.5 * a, eps=e) for a, e in ((0.1, 0.01), (0.3, 0.02), (last, 0.05))]
    return robustness_claims.grows_with_eps(results(*groups))

  assert claim(0.4).verdict == HOLDS
  assert claim(0.29).verdict == HOLDS  # within the tolerance
  assert claim(0.1).verdict == FAILS
  assert "Not of glioma, distributed noise, asr_self; glioma" in claim(0.1).evidence[1]


def test_clean_accuracy():
  def verdict(clean, before=0.9):
    rows = results(
      many("none", 0.9, 0.9, clean_accuracy=before), many(NOISE, 0.4, 0.2, clean_accuracy=clean)
    )
    return robustness_claims.keeps_accuracy(rows).verdict

  assert verdict(0.89) == HOLDS
  assert verdict(0.6) == FAILS  # collapsed by the noise: that is just what is asked
  assert verdict(0.6, before=0.6) == UNKNOWN


def with_dp(change, spread=0.001):
  groups = []
  for method in (ADVERSARIAL, NOISE):
    groups.append(many(method, 0.4, 0.2, variant="no DP"))
    groups.append(many(method, 0.4, 0.2 + change, variant="DP", spread=spread))
  return results(*groups)


def test_dp_lowers():
  assert adaptation_claims.dp_lowers(with_dp(-0.1)).verdict == HOLDS
  assert adaptation_claims.dp_lowers(with_dp(-0.1, spread=0.04)).verdict == PARTLY
  assert adaptation_claims.dp_lowers(with_dp(+0.1)).verdict == FAILS
  assert "clean accuracy +0.000" in adaptation_claims.dp_lowers(with_dp(-0.1)).evidence[0]


def test_perfect_with_dp():
  assert adaptation_claims.perfect_with_dp(with_dp(-0.19, 0.0)).verdict == HOLDS
  assert adaptation_claims.perfect_with_dp(with_dp(-0.1, 0.0)).verdict == FAILS


def by_share(task, adversarial, noise):
  groups = []
  for share, a, n in zip((0.2, 1.0), adversarial, noise):
    variant = share_name(share)
    for method, value in ((ADVERSARIAL, a), (NOISE, n)):
      rows = many(method, value, value, task=task, variant=variant, spread=0.001)
      for row in rows[:2] if method == NOISE else ():
        row["asr_avg"] += 0.001  # so that differences are not all alike
      groups.append(rows)
  return results(*groups)


def test_a_fifth_of_the_samples():
  assert adaptation_claims.few_samples(by_share("pathology", (0.5, 0), (0.12, 0))).verdict == HOLDS
  assert adaptation_claims.few_samples(by_share("pathology", (0.1, 0), (0.3, 0))).verdict == FAILS
  assert adaptation_claims.few_samples(by_share("other", (0.1, 0), (0.1, 0))).verdict == UNKNOWN


def test_more_samples_help_and_all_defend():
  good, bad = by_share("glioma", (0.5, 0.02), (0.4, 0.01)), by_share("glioma", (0, 0.5), (0, 0.5))
  assert adaptation_claims.more_samples_help(good).verdict == HOLDS
  assert adaptation_claims.more_samples_help(bad).verdict == FAILS
  assert adaptation_claims.all_samples_defend(good).verdict == HOLDS
  assert adaptation_claims.all_samples_defend(bad).verdict == FAILS


def test_fewer_samples_than_adversarial_training():
  def verdict(adversarial, noise):
    return adaptation_claims.fewer_samples_than_training(
      by_share("glioma", adversarial, noise)
    ).verdict

  assert verdict((0.5, 0.2), (0.4, 0.1)) == HOLDS
  assert verdict((0.5, 0.2), (0.4, 0.3)) == PARTLY
  assert verdict((0.5, 0.2), (0.6, 0.3)) == FAILS


@pytest.mark.parametrize(
  "check",
  [robustness_claims.comparable, robustness_claims.self_over_avg,
   robustness_claims.undefended_transfers, robustness_claims.grows_with_eps,
   robustness_claims.keeps_accuracy, adaptation_claims.dp_lowers,
   adaptation_claims.perfect_with_dp, adaptation_claims.few_samples,
   adaptation_claims.more_samples_help, adaptation_claims.all_samples_defend,
   adaptation_claims.fewer_samples_than_training,
   lambda rows: robustness_claims.reduction(rows, "asr_self", 0.08)],
)
def test_without_results_nothing_is_judged(check):
  assert check(EMPTY).verdict == UNKNOWN
