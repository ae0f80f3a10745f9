"""Epsilon against numbers that must come out, dp-accounting's own accountants, and by hand."""

import math

import dp_accounting
import pytest
from dp_accounting import pld, rdp
from scipy import stats

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import accountant, calibration
from fedsafe_tff.privacy.accountant import (
  Release,
  account,
  dp_sgd_releases,
  joint_multiplier,
)
from fedsafe_tff.privacy.solving import calibrate

DELTA = 1e-5


def test_one_gaussian_at_epsilon_one():
  """Sensitivity 1, delta 1e-5: the classical formula asks for 4.845, the analytic one for 3.731."""
  assert calibration.gaussian_constant(DELTA) / 1.0 == pytest.approx(4.845, abs=5e-4)
  sigma = calibrate(lambda z: [Release(z, 1)], 1.0, DELTA)
  assert sigma == pytest.approx(3.731, abs=5e-4)
  assert account([Release(sigma, 1)], DELTA).epsilon <= 1.0


def test_the_classical_formula_at_fifty_gives_ninety_six():
  sigma = calibration.gaussian_constant(DELTA) / 50.0
  assert sigma == pytest.approx(0.0969, abs=5e-5)
  assert account([Release(sigma, 1)], DELTA).epsilon == pytest.approx(96.4, abs=0.05)


def test_sampled_steps():
  """Sampling 0.08, noise multiplier 1, 250 steps: RDP 9.719, PLD 8.789."""
  made = account(dp_sgd_releases(noise_multiplier=1.0, steps=250, sampling_rate=0.08), DELTA)
  assert made.by == "PLD" and made.epsilon == pytest.approx(8.789, abs=5e-4)
  event = dp_accounting.PoissonSampledDpEvent(0.08, dp_accounting.GaussianDpEvent(1.0))
  renyi = rdp.RdpAccountant().compose(event, 250).get_epsilon(DELTA)
  assert renyi == pytest.approx(9.719, abs=5e-4)
  only_bounded = account([Release(1.0, 250, 0.08, gaussian=False)], DELTA)
  assert only_bounded.by == "RDP" and only_bounded.epsilon == pytest.approx(9.719, abs=1e-3)


def test_mechanisms_compose_as_in_the_library():
  releases = [Release(1.5, 60, 0.1), Release(8.0, 4), Release(5.0, 2)]
  accountant = pld.PLDAccountant()
  accountant.compose(
    dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.5)), 60
  )
  accountant.compose(dp_accounting.GaussianDpEvent(8.0), 4)
  accountant.compose(dp_accounting.GaussianDpEvent(5.0), 2)
  made = account(releases, DELTA)
  assert made.epsilon == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-3)
  assert made == account(releases[::-1], DELTA)
  assert made.epsilon > max(account([r], DELTA).epsilon for r in releases)


def test_what_is_released_together_is_one_gaussian():
  # Unsampled, two Gaussians on the same unit compose to that one.
  z = joint_multiplier(2.0, 3.0)
  together = account([Release(z, 5)], DELTA)
  apart = account([Release(2.0, 5), Release(3.0, 5)], DELTA)
  assert together.epsilon == pytest.approx(apart.epsilon, rel=1e-9)
  assert joint_multiplier(2.0, 0.0) == 0.0 and joint_multiplier(2.0, math.inf) == 2.0


def test_adaptive_clipping_costs_what_its_count_tells():
  values = {"noise_multiplier": 1.0, "steps": 100, "sampling_rate": 0.05}
  fixed = account(dp_sgd_releases(**values), DELTA).epsilon
  adaptive = account(dp_sgd_releases(**values, count_multiplier=10.0), DELTA).epsilon
  loud = account(dp_sgd_releases(**values, count_multiplier=0.0), DELTA).epsilon
  assert fixed < adaptive < 1.1 * fixed and loud == math.inf


def test_a_microbatch_counts_as_twice_the_sensitivity():
  one, two = (
    dp_sgd_releases(noise_multiplier=2.0, steps=10, sampling_rate=0.1, microbatch=m) for m in (1, 4)
  )
  assert two == [Release(1.0, 10, 0.1)] and one == [Release(2.0, 10, 0.1)]


@pytest.mark.parametrize("group", [1, 2, 5])
def test_replacing_is_twice_the_sensitivity_and_a_group_as_many_times(group):
  made = account([Release(20.0, 3)], DELTA, adjacency="replace_one", group=group)
  assert made == account([Release(20.0 / (2 * group), 3)], DELTA)


@pytest.mark.parametrize("group", [2, 4])
def test_a_sampled_group_is_bounded_by_what_its_mixture_gives(group):
  """One step, against the binomial mixture of Gaussians itself, integrated on a grid."""
  import numpy as np

  z, rate = 3.0, 0.1
  epsilon = account([Release(z, 1, rate)], DELTA, group=group).epsilon
  x = np.linspace(-60, 60, 400_001)
  none = stats.norm.pdf(x, 0, z)
  some = sum(
    stats.binom.pmf(k, group, rate) * stats.norm.pdf(x, k, z) for k in range(group + 1)
  )
  for left, right in ((some, none), (none, some)):
    delta = np.trapz(np.maximum(left - math.exp(epsilon) * right, 0), x)
    assert delta <= DELTA * 1.001


def test_the_lower_of_two_bounds_is_taken_for_a_sampled_group():
  few = [Release(1.0, 250, 0.08)]
  once = account(few, DELTA).epsilon
  two = account(few, DELTA, group=2).epsilon
  assert 2 * once < two < account([Release(0.5, 250, 1 - 0.92**2)], DELTA).epsilon
  # By hand, from the delta of one unit that makes the group's.
  from fedsafe_tff.privacy import accountant

  alone = accountant._account(tuple(few), DELTA * 1e-7, "best").epsilon
  assert (math.exp(2 * alone) - 1) / (math.exp(alone) - 1) * 1e-7 <= 1.0
  assert two <= 2 * alone
  together = account([Release(1 / 3, 250, 1 - 0.92**3)], DELTA).epsilon
  assert account(few, DELTA, group=3).epsilon <= together
  whole = account([Release(2.0, 3)], DELTA, group=2)
  assert account([Release(2.0, 3, 0.999)], DELTA, group=2).epsilon <= whole.epsilon


def test_a_sampled_replacement_costs_more_than_an_addition_and_less_than_no_sampling():
  releases = [Release(2.0, 20, 0.1)]
  add = account(releases, DELTA).epsilon
  replace = account(releases, DELTA, adjacency="replace_one").epsilon
  whole = account([Release(2.0, 20)], DELTA, adjacency="replace_one").epsilon
  assert 2 * add <= replace < whole


def test_a_sample_that_leaves_out_nearly_nobody_is_replaced_as_one_without_sampling():
  whole = account([Release(2.0, 3)], DELTA, adjacency="replace_one").epsilon
  nearly = account([Release(2.0, 3, 0.999)], DELTA, adjacency="replace_one").epsilon
  assert nearly == pytest.approx(whole)


def test_some_of_a_group_join_likelier_than_one_alone():
  """Bound (a), where it is the lowest of the three."""
  made = account([Release(1.0, 50, 0.6)], DELTA, group=2).epsilon
  assert made == pytest.approx(account([Release(0.5, 50, 1 - 0.4**2)], DELTA).epsilon)


def test_small_noise_is_accounted_in_no_time_and_no_noise_guarantees_nothing():
  tiny = account([Release(0.05, 100, 0.5)], DELTA)
  assert tiny.by == "RDP" and 1000 < tiny.epsilon < math.inf
  assert account([Release(0.0, 1)], DELTA).epsilon == math.inf
  assert account([Release(0.0, 0), Release(math.inf, 9)], DELTA).epsilon == 0.0


@pytest.mark.parametrize(
  "call,words",
  [
    (lambda: Release(-1.0, 1), "noise multiplier"),
    (lambda: Release(1.0, -1), "releases is -1"),
    (lambda: Release(1.0, 1, 0.0), "sampling rate"),
    (lambda: account([], 0.0), "delta"),
    (lambda: account([], DELTA, adjacency="next"), "add_or_remove_one or replace_one"),
    (lambda: account([], DELTA, group=0), "at least 1"),
  ],
)
def test_values_out_of_range(call, words):
  with pytest.raises(UserError, match=words):
    call()


@pytest.mark.parametrize("z, rate, steps", [(1.2, 32 / 350, 10), (3.0, 0.3, 2)])
def test_remembered_releases_give_the_librarys_numbers_round_by_round(z, rate, steps):
  one = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(z))
  for rounds in (1, 3):
    made = account([Release(z, rounds * steps, rate)], DELTA)
    by_pld = pld.PLDAccountant(value_discretization_interval=5e-4)
    by_pld.compose(one, rounds * steps)
    assert made.by == "PLD" and made.epsilon == pytest.approx(by_pld.get_epsilon(DELTA), rel=2e-3)
    by_rdp = rdp.RdpAccountant(orders=accountant._ORDERS)
    by_rdp.compose(one, rounds * steps)
    renyi = account([Release(z, rounds * steps, rate)], DELTA, by="RDP").epsilon
    assert renyi == pytest.approx(by_rdp.get_epsilon(DELTA), rel=1e-9)


def test_a_release_is_looked_at_a_few_times_for_all_rounds():
  """Else a run of 1,000 rounds would spend minutes on its accounting."""
  accountant._one_pld.cache_clear()
  accountant._one_renyi.cache_clear()
  epsilons = [account([Release(1.31, 11 * n, 0.09)], DELTA).epsilon for n in range(20, 30)]
  assert epsilons == sorted(epsilons)
  assert accountant._one_renyi.cache_info().misses == 1
  assert accountant._one_pld.cache_info().misses < 6
