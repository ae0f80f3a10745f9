"""Provable epsilon against the Gaussian mechanism's closed form and dp-accounting's accountants."""

import math

import dp_accounting
import pytest
from dp_accounting import pld, rdp
from scipy import special, stats

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import accounting, calibration

DELTA = 1e-5


def gaussian_delta(noise_multiplier, epsilon):
  """Delta of one Gaussian release (Balle and Wang, 2018, theorem 8)."""
  a, b = 0.5 / noise_multiplier, epsilon * noise_multiplier
  return special.ndtr(a - b) - math.exp(epsilon + stats.norm.logcdf(-a - b))


@pytest.mark.parametrize("sigma,uploads", [(200.0, 1), (60.0, 10), (20.0, 50), (2.0, 3), (0.5, 50)])
def test_provable_epsilon_solves_the_closed_form_at_twice_the_clip(sigma, uploads):
  clip_norm = 10.0
  epsilon = accounting.provable_epsilon(
    sigma=sigma, clip_norm=clip_norm, uploads=uploads, delta=DELTA
  )
  z = sigma / (2 * clip_norm) / math.sqrt(uploads)
  assert gaussian_delta(z, epsilon) <= DELTA
  assert gaussian_delta(z, epsilon * (1 - 1e-5)) > DELTA


def test_composition_agrees_with_the_pld_accountant():
  accountant = pld.PLDAccountant()
  accountant.compose(dp_accounting.GaussianDpEvent(2.0), 16)
  epsilon = accounting.provable_epsilon(sigma=4.0, clip_norm=1.0, uploads=16, delta=DELTA)
  assert epsilon == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-3)


@pytest.mark.parametrize("noise_multiplier,rounds", [(0.1, 1), (0.5, 30), (1.0, 1), (5.0, 100)])
def test_never_above_renyi(noise_multiplier, rounds):
  accountant = rdp.RdpAccountant()
  accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier), rounds)
  epsilon = accounting.central_epsilon(
    noise_multiplier=noise_multiplier, rounds=rounds, delta=DELTA
  )
  assert 0.8 * accountant.get_epsilon(DELTA) < epsilon <= accountant.get_epsilon(DELTA)


def test_classical_calibration_at_fifty_delivers_ninety_six():
  # One release at the sensitivity that the formula is given (m = 1).
  sigma = calibration.paper_uplink_sigma(
    epsilon=50.0, delta=DELTA, clip_norm=1.0, min_images=1, exposures=1
  )
  epsilon = accounting.provable_epsilon(sigma=sigma, clip_norm=1.0, uploads=1, delta=DELTA)
  assert epsilon == pytest.approx(96.43, abs=0.01)


@pytest.mark.parametrize("nominal,holds", [(0.5, True), (1.0, True), (6.0, True), (9.0, False)])
def test_classical_calibration_suffices_for_small_epsilon_only(nominal, holds):
  z = calibration.gaussian_constant(DELTA) / nominal
  assert (accounting.gaussian_epsilon(z, 1, DELTA) <= nominal) == holds


def test_paper_sigma_with_many_images_proves_far_less_than_its_nominal_epsilon():
  values = {"delta": DELTA, "clip_norm": 5.0, "min_images": 300, "exposures": 1}
  sigma = calibration.paper_uplink_sigma(epsilon=1.0, **values)
  epsilon = accounting.provable_epsilon(sigma=sigma, clip_norm=5.0, uploads=1, delta=DELTA)
  # z = c / 300, so that 1 / (2 z^2) alone is 1917.
  assert epsilon > 1900


def test_monotone():
  def epsilon(sigma=1.0, clip_norm=1.0, uploads=5, delta=DELTA):
    return accounting.provable_epsilon(
      sigma=sigma, clip_norm=clip_norm, uploads=uploads, delta=delta
    )

  base = epsilon()
  assert epsilon(sigma=1.1) < base < epsilon(clip_norm=1.1)
  assert epsilon(uploads=4) < base < epsilon(delta=1e-6)
  # Only the ratio counts.
  assert epsilon(sigma=7.0, clip_norm=7.0) == pytest.approx(base)
  # Every round costs, at any size of the noise, also where the solver hands over to Renyi.
  for sigma in (1e-6, 1e-4, 0.01, 1.0, 100.0):
    values = [epsilon(sigma=sigma, uploads=count) for count in range(8)]
    assert values == sorted(set(values))


def test_edges():
  assert accounting.provable_epsilon(sigma=0.0, clip_norm=1.0, uploads=3, delta=DELTA) == math.inf
  assert accounting.provable_epsilon(sigma=1.0, clip_norm=0.0, uploads=3, delta=DELTA) == math.inf
  assert accounting.provable_epsilon(sigma=1.0, clip_norm=1.0, uploads=0, delta=DELTA) == 0.0
  tiny = accounting.provable_epsilon(sigma=1e-200, clip_norm=1.0, uploads=3, delta=DELTA)
  assert tiny == math.inf
  assert accounting.gaussian_epsilon(math.inf, 3, DELTA) == 0.0
  # TV distance 2 Phi(1 / (2z)) - 1 is below delta: epsilon 0 is the truth.
  assert accounting.gaussian_epsilon(1e6, 1, DELTA) == 0.0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_delta_out_of_range(delta):
  with pytest.raises(UserError, match="delta"):
    accounting.provable_epsilon(sigma=1.0, clip_norm=1.0, uploads=1, delta=delta)


def test_counts_and_rates_out_of_range():
  with pytest.raises(UserError, match="releases is -1"):
    accounting.provable_epsilon(sigma=1.0, clip_norm=1.0, uploads=-1, delta=DELTA)
  for rate in (0.0, 1.5):
    with pytest.raises(UserError, match="sampling rate"):
      accounting.central_epsilon(noise_multiplier=1.0, rounds=1, delta=DELTA, sampling_rate=rate)


def test_sampling_amplifies_as_the_library_says():
  accountant = rdp.RdpAccountant()
  accountant.compose(
    dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.0)), 100
  )
  values = {"noise_multiplier": 1.0, "rounds": 100, "delta": DELTA}
  sampled = accounting.central_epsilon(sampling_rate=0.01, **values)
  assert sampled == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-6)
  assert sampled < 0.1 * accounting.central_epsilon(**values)


STATEMENT = {
  "uplink_sigma": 0.0,
  "clip_norm": 0.0,
  "uploads": 5,
  "min_images": 100,
  "exposures": 5,
  "delta": DELTA,
  "downlink_sigma": 0.0,
}


def test_statement_of_uploads_names_everything():
  lines = accounting.statement(**(STATEMENT | {"uplink_sigma": 8.0, "clip_norm": 2.0}))
  proved = lines[0]
  epsilon = accounting.provable_epsilon(sigma=8.0, clip_norm=2.0, uploads=5, delta=DELTA)
  for words in (
    "Gaussian mechanism",
    "2C = 4",
    "5 compositions",
    f"({epsilon:.4g}, 1e-05)-DP",
    "replace-one adjacency",
    "against whoever sees",
  ):
    assert words in proved
  nominal = calibration.paper_epsilon(
    sigma=8.0, delta=DELTA, clip_norm=2.0, min_images=100, exposures=5
  )
  assert f"nominal epsilon of {nominal:.4g}" in lines[1] and "not a proof" in lines[1]
  assert any(line.startswith("Not covered") for line in lines)


@pytest.mark.parametrize(
  "change",
  [
    {"downlink_sigma": 0.01},
    {"uplink_sigma": 1.0},
    {"uplink_sigma": 1.0, "downlink_sigma": 0.01},
    {"clip_norm": 1.0, "downlink_sigma": 0.01},
  ],
)
def test_what_has_no_accounting_is_noised_not_private(change):
  text = " ".join(accounting.statement(**(STATEMENT | change)))
  assert "noised" in text and "no epsilon follows" in text
  assert "private" not in text and "DP" not in text and "Not covered" not in text


def test_statement_of_central_dp():
  values = STATEMENT | {"clip_norm": 1.0, "central_noise_multiplier": 1.5, "uploads": 1}
  text = accounting.statement(**values)[0]
  epsilon = accounting.central_epsilon(noise_multiplier=1.5, rounds=1, delta=DELTA)
  assert f"({epsilon:.4g}, 1e-05)-DP for a whole client" in text
  assert "1 composition:" in text and "add-or-remove-one" in text


def test_statement_without_noise():
  assert accounting.statement(**STATEMENT) == ["No noise: no privacy statement can be made."]
