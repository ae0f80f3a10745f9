"""Noise and rounds that meet a target and no more."""

import math

import dp_accounting
import pytest
from dp_accounting import pld

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import Release, account
from fedsafe_tff.privacy.solving import affordable, calibrate

DELTA = 1e-5


@pytest.mark.parametrize("rate,target", [(1.0, 0.3), (1.0, 40.0), (0.05, 2.0)])
def test_calibration_meets_its_target_and_no_more(rate, target):
  def releases(z):
    return [Release(z, 30, rate)]

  z = calibrate(releases, target, DELTA)
  assert account(releases(z), DELTA).epsilon <= target
  assert account(releases(z * (1 - 1e-4)), DELTA).epsilon > target


def test_calibration_agrees_with_the_library():
  z = calibrate(lambda z: [Release(z, 100, 0.1)], 3.0, DELTA)
  event = dp_accounting.PoissonSampledDpEvent
  theirs = dp_accounting.calibrate_dp_mechanism(
    lambda: pld.PLDAccountant(value_discretization_interval=1e-3),
    lambda z: dp_accounting.SelfComposedDpEvent(event(0.1, dp_accounting.GaussianDpEvent(z)), 100),
    3.0,
    DELTA,
    dp_accounting.ExplicitBracketInterval(0.5, 5.0),
    tol=1e-4,
  )
  assert z == pytest.approx(theirs, abs=1e-3)


def test_a_target_that_no_noise_can_give():
  with pytest.raises(UserError, match="no noise gives epsilon 1 .* already costs"):
    calibrate(lambda z: [Release(z, 1), Release(0.5, 10)], 1.0, DELTA)
  for target in (0.0, -1.0, math.inf, math.nan):
    with pytest.raises(UserError, match="target epsilon"):
      calibrate(lambda z: [Release(z, 1)], target, DELTA)


def test_as_many_rounds_as_a_target_affords():
  def releases(rounds):
    return [Release(1.0, 10 * rounds, 0.05)]

  rounds = affordable(releases, 3.0, DELTA, most=500)
  assert account(releases(rounds), DELTA).epsilon <= 3.0
  assert account(releases(rounds + 1), DELTA).epsilon > 3.0
  assert affordable(releases, 3.0, DELTA, most=rounds - 2) == rounds - 2
  assert affordable(lambda rounds: [Release(0.1, rounds)], 1.0, DELTA, most=9) == 0
