"""The checks of the paper's claims on numbers that decide them one way or the other."""

import pytest

from fedsafe_tff.paper import adaptation_claims, robustness_claims
from fedsafe_tff.paper.adaptation_claims import share_name
from fedsafe_tff.paper.claim import (
  FAILS,
  HOLDS,
  PARTLY,
  TRIVIAL,
  UNKNOWN,
  at_least,
  at_most,
  together,
)
from fedsafe_tff.paper.statistics import estimate
from tests.paper.synthetic import ADVERSARIAL, NOISE, many, results
from tests.paper.synthetic import row as row_of

EMPTY = results()


def test_together():
  assert together([HOLDS, HOLDS]) == HOLDS
  assert together([HOLDS, FAILS]) == together([PARTLY, PARTLY]) == PARTLY
  assert together([HOLDS, FAILS, FAILS]) == together([FAILS]) == FAILS
  assert together([]) == UNKNOWN


def test_a_level_is_reached_surely_or_by_its_mean_alone():
  assert at_most(estimate([0.10, 0.11, 0.12]), 0.14) == HOLDS
  assert at_most(estimate([0.00, 0.10, 0.20]), 0.14) == PARTLY
  assert at_most(estimate([0.10]), 0.14) == PARTLY  # one seed proves nothing
  assert at_most(estimate([0.20, 0.21, 0.22]), 0.14) == FAILS
  assert at_least(estimate([0.90, 0.91, 0.92]), 0.85) == HOLDS
  assert at_least(estimate([0.80, 0.90, 1.00]), 0.85) == PARTLY
  assert at_least(estimate([0.80, 0.81, 0.82]), 0.85) == FAILS


def reduction(own, noise_spread=0.01, **keywords):
  rows = results(many(ADVERSARIAL, 0.5, 0.3, spread=0.011), many(NOISE, own, 0.3,
                                                                  spread=noise_spread))
  return robustness_claims.reduction(rows, "asr_self", 0.08, **keywords)


def test_a_reduction_that_is_large_and_certain_holds():
  claim = reduction(0.40)
  assert claim.verdict == HOLDS
  assert "Largest reduction: 0.102 of 0.522, glioma, eps 0.05" in claim.evidence[0]
  assert claim.evidence[1] == "As a share of the rate it is 20% at most, glioma, eps 0.05."
  assert "Lower in 1, higher in 0 of 1 cells; significantly lower in 1" in claim.evidence[2]
  assert claim.evidence[3].startswith("Change over all sizes: glioma -0.102 ± 0.002, p <0.001.")


def test_the_share_may_be_largest_in_another_cell():
  rows = results(
    many(ADVERSARIAL, 0.9, 0.3), many(NOISE, 0.6, 0.3),
    many(ADVERSARIAL, 0.2, 0.3, eps=0.01), many(NOISE, 0.05, 0.3, eps=0.01),
  )
  evidence = robustness_claims.reduction(rows, "asr_self", 0.08).evidence
  assert "0.300 of 0.900, glioma, eps 0.05" in evidence[0]
  assert "it is 75% at most, glioma, eps 0.01" in evidence[1]


def test_where_nothing_is_reduced_the_smallest_increase_stands():
  evidence = reduction(0.60).evidence
  assert evidence[0].startswith("No reduction: it adds at least 0.098 to 0.522, glioma, eps 0.05")
  assert evidence[1].startswith("Lower in 0, higher in 1 of 1 cells")


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
  assert claim.evidence[-1] == (
    "Left out, being no better than the majority class (†): glioma, distributed noise (5 of 5 "
    "seeds)."
  )
  only = results(many(ADVERSARIAL, 0.5, 0.3), many(NOISE, 0.0, 0.0, clean_accuracy=0.6))
  assert robustness_claims.reduction(only, "asr_self", 0.08).verdict == UNKNOWN


def test_one_collapsed_seed_is_left_out_and_the_others_count():
  noise = many(NOISE, 0.55, 0.3, spread=0.01)
  noise[2] |= {"asr_self": 0.0, "clean_accuracy_all": 0.6}
  claim = robustness_claims.reduction(
    results(many(ADVERSARIAL, 0.5, 0.3, spread=0.011), noise), "asr_self", 0.08
  )
  assert claim.verdict == FAILS and "distributed noise (1 of 5 seeds)" in claim.evidence[-1]


def test_comparable_security():
  def verdict(own, other, spread=0.0):
    rows = results(many(ADVERSARIAL, 0.5, 0.3), many(NOISE, own, other, spread=spread))
    return robustness_claims.comparable(rows).verdict

  assert verdict(0.51, 0.2) == HOLDS
  assert verdict(0.31, 0.1, spread=0.1) == PARTLY  # a mean 0.01 above and 0.02 below, by chance
  assert verdict(0.6, 0.2) == PARTLY
  assert verdict(0.6, 0.4) == FAILS


def test_two_kinds_of_adversarial_training_are_two_baselines():
  local = "local_adversarial_training"
  rows = results(
    many(ADVERSARIAL, 0.5, 0.5, spread=0.01), many(local, 0.15, 0.15, spread=0.01),
    many(NOISE, 0.4, 0.2, spread=0.011),
  )
  server = robustness_claims.against(rows)
  clients = robustness_claims.against(rows, local)
  assert [claim.verdict for claim in server] == [HOLDS] * 3
  assert [claim.verdict for claim in clients] == [FAILS] * 3
  assert "(at the server)" in server[0].text and "local adversarial training" in clients[0].text


def test_sizes_that_only_one_method_was_attacked_at_do_not_count():
  sizes = {0.01: 0.1, 0.02: 0.3, 0.05: 0.6, 0.07: 0.8}
  before = [many(ADVERSARIAL, rate, rate, eps=eps) for eps, rate in sizes.items()]
  after = [many(NOISE, sizes[eps] + 0.05, sizes[eps], eps=eps) for eps in (0.01, 0.02)]
  claim = robustness_claims.comparable(results(*before, *after))
  assert claim.evidence[0].startswith("glioma, asr_self: 0.050 ± 0.000 over all sizes")
  # A seed without all sizes has no mean over sizes.
  after[1].pop()
  found = results(*after).estimate("asr_self", method=NOISE)
  assert found.count == 4 and found.mean == pytest.approx(0.25)


def test_self_over_avg():
  def verdict(adversarial, noise):
    rows = results(many(ADVERSARIAL, adversarial, 0.2), many(NOISE, noise, 0.2))
    return robustness_claims.self_over_avg(rows).verdict

  assert verdict(0.5, 0.6) == HOLDS
  assert verdict(0.2, 0.6) == PARTLY
  assert verdict(0.2, 0.3) == PARTLY  # above, though not twice
  assert verdict(0.2, 0.2) == FAILS
  assert robustness_claims.self_over_avg(results(many(NOISE, 0.3, 0.001))).verdict == UNKNOWN
  mixed = results(many(NOISE, 0.3, 0.1, eps=0.01), many(NOISE, 0.9, 0.1, eps=0.05),
                  many(NOISE, 0.9, 0.001, eps=0.07))
  claim = robustness_claims.self_over_avg(mixed)
  assert claim.verdict == PARTLY
  assert claim.evidence[0] == (
    "distributed noise: 1 of 2 cells are in that range; median 6.00, from 3.00 to 9.00 (1 cells "
    "with an avg-ASR below 0.01 left out)."
  )
  assert "ratios from 1.7 to 5.8 in 16 cells, and an avg-ASR of 0 in 8" in claim.evidence[1]


def test_undefended_models_transfer():
  assert robustness_claims.undefended_transfers(results(many("none", 0.7, 0.7))).verdict == TRIVIAL
  assert robustness_claims.undefended_transfers(results(many("none", 0.7, 0.3))).verdict == FAILS


def test_rates_that_grow_with_the_perturbation():
  def claim(*rates):
    groups = [
      many(NOISE, a, 0.5 * a, eps=e, spread=0.01 * e) for a, e in zip(rates, (0.01, 0.02, 0.05))
    ]
    return robustness_claims.grows_with_eps(results(*groups))

  assert claim(0.1, 0.3, 0.4).verdict == HOLDS
  assert claim(0.1, 0.3, 0.29).verdict == HOLDS  # within the tolerance
  assert claim(0.1, 0.3, 0.1).verdict == FAILS
  assert "Against it by more than 0.02: glioma, distributed noise, asr_self; glioma" in (
    claim(0.1, 0.3, 0.1).evidence[1]
  )
  assert "No significant change: glioma" in claim(0.5, 0.5, 0.499).evidence[1]
  assert claim(0.5, 0.5, 0.499).verdict == FAILS
  assert claim(0.5, 0.485, 0.47).verdict == FAILS  # small steps, all of them down
  one = [many(NOISE, a, 0.5 * a, eps=e, seeds=[0]) for a, e in ((0.1, 0.01), (0.4, 0.05))]
  assert robustness_claims.grows_with_eps(results(*one)).verdict == PARTLY


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


def by_share(task, adversarial, noise, own=None):
  groups = []
  for number, (share, a, n) in enumerate(zip((0.2, 1.0), adversarial, noise)):
    variant = share_name(share)
    for method, value in ((ADVERSARIAL, a), (NOISE, n)):
      self_ = own[number] if own and method == NOISE else value
      rows = many(method, self_, value, task=task, variant=variant, spread=0.001 * share)
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
  # The adversary's own copy is a scenario too.
  own = by_share("glioma", (0.5, 0.02), (0.4, 0.01), own=(0.5, 0.5))
  assert adaptation_claims.all_samples_defend(own).verdict == PARTLY


def test_models_that_were_not_adapted_have_no_share():
  rows = results(by_share("glioma", (0.5, 0.02), (0.4, 0.01)).rows,
                 many("none", 0.1, 0.1, variant=share_name(0.0)))
  assert adaptation_claims.more_samples_help(rows).verdict == HOLDS


def test_fewer_samples_than_adversarial_training():
  def claim(adversarial, noise, own=None):
    return adaptation_claims.fewer_samples_than_training(
      by_share("glioma", adversarial, noise, own)
    )

  held = claim((0.5, 0.2), (0.2, 0.1))
  assert held.verdict == HOLDS
  assert held.evidence[0].startswith(
    "glioma, asr_avg: adversarial training with all samples has 0.202 ± 0.002; distributed noise "
    "is no more than 0.02 above it from a share of 20%, surely from 20%."
  )
  # Lower at every share, but a fifth of the samples does not reach what all of them do.
  assert claim((0.5, 0.2), (0.4, 0.1)).verdict == FAILS
  # Only the other clients are attacked less.
  assert claim((0.5, 0.2), (0.2, 0.1), own=(0.5, 0.3)).verdict == PARTLY


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


def test_a_seed_that_was_not_attacked_at_every_size_is_judged_all_the_same():
  rows = [row_of(NOISE, seed=s, eps=eps) for s in (0, 1) for eps in (0.01, 0.05)]
  rows.append(row_of(NOISE, seed=2, eps=0.05, clean_accuracy=0.61))
  found = results(rows)
  assert found.collapsed(method=NOISE) == {2} and found.unjudged(method=NOISE) == set()
  rows[0] |= {"clean_accuracy_all": None}  # by an older definition, beside a newer one
  assert results(rows).collapsed() == {2} and results(rows).unjudged() == set()
  for older in rows[:2]:
    older |= {"clean_accuracy_all": None}
  assert results(rows).unjudged() == {0}
