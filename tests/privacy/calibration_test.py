"""The paper's noise formulas against their closed forms."""

import math

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import calibration

UPLINK = {"delta": 1e-5, "clip_norm": 3.0, "min_images": 200, "exposures": 25}
DOWNLINK = {
  "epsilon": 50.0,
  "delta": 0.01,
  "clip_norm": 20.0,
  "min_images": 512,
  "rounds": 25,
  "exposures": 2,
  "num_clients": 50,
}


def test_sensitivity_is_two_c_over_m():
  assert calibration.paper_sensitivity(3.0, 200) == pytest.approx(0.03)


def test_uplink_sigma_by_hand():
  # c = sqrt(2 ln 125000) = 4.844805; c * 25 * 0.03 / 50
  sigma = calibration.paper_uplink_sigma(epsilon=50.0, **UPLINK)
  assert sigma == pytest.approx(4.844805262 * 25 * 0.03 / 50, rel=1e-8)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 50.0, 1e4])
def test_nominal_epsilon_inverts_the_uplink_formula(epsilon):
  sigma = calibration.paper_uplink_sigma(epsilon=epsilon, **UPLINK)
  assert calibration.paper_epsilon(sigma=sigma, **UPLINK) == pytest.approx(epsilon, rel=1e-12)


def test_downlink_sigma_by_hand():
  # T^2 - L^2 N = 625 - 200
  expected = 2 * math.sqrt(2 * math.log(125)) * 20 * math.sqrt(425) / (512 * 50 * 50)
  assert calibration.wei_downlink_sigma(**DOWNLINK) == pytest.approx(expected, rel=1e-12)


def test_downlink_tops_up_the_uplink_noise_to_what_t_exposures_need():
  # Wei et al.: the mean of N uploads carries sigma_up^2 / N; T exposures of the broadcast, whose
  # sensitivity is 2C / (m N), need (c T 2C / (m N eps))^2 in all.
  sigma_down = calibration.wei_downlink_sigma(**DOWNLINK)
  common = {name: DOWNLINK[name] for name in ("epsilon", "delta", "clip_norm", "min_images")}
  sigma_up = calibration.paper_uplink_sigma(exposures=2, **common)
  needed = calibration.paper_uplink_sigma(exposures=25, **common) / 50
  assert sigma_down**2 + sigma_up**2 / 50 == pytest.approx(needed**2, rel=1e-12)


@pytest.mark.parametrize("exposures,clients", [(25, 1), (25, 3), (5, 25), (10, 9)])
def test_no_downlink_noise_where_the_uplink_noise_suffices(exposures, clients):
  values = DOWNLINK | {"exposures": exposures, "num_clients": clients}
  assert calibration.wei_downlink_sigma(**values) == 0.0


def test_uplink_sigma_is_linear_in_exposures_and_clip_and_inverse_in_the_rest():
  base = calibration.paper_uplink_sigma(epsilon=1.0, **UPLINK)
  for change, factor in (
    ({"epsilon": 2.0}, 0.5),
    ({"clip_norm": 6.0}, 2.0),
    ({"exposures": 50}, 2.0),
    ({"min_images": 400}, 0.5),
  ):
    sigma = calibration.paper_uplink_sigma(**({"epsilon": 1.0} | UPLINK | change))
    assert sigma == pytest.approx(factor * base)


@pytest.mark.parametrize(
  "name,value",
  [
    ("epsilon", 0.0),
    ("epsilon", -1.0),
    ("epsilon", math.nan),
    ("epsilon", math.inf),
    ("delta", 0.0),
    ("delta", 1.0),
    ("delta", 1.1),
    ("delta", math.nan),
    ("clip_norm", 0.0),
    ("clip_norm", -2.0),
    ("min_images", 0),
    ("exposures", 0),
  ],
)
def test_values_out_of_range_are_named(name, value):
  with pytest.raises(UserError, match=f"{name} is {value}, but must"):
    calibration.paper_uplink_sigma(**({"epsilon": 1.0} | UPLINK | {name: value}))
  with pytest.raises(UserError, match=f"{name} is {value}, but must"):
    calibration.wei_downlink_sigma(**(DOWNLINK | {name: value}))


def test_downlink_checks_delta_even_where_no_noise_is_needed():
  with pytest.raises(UserError, match="delta"):
    calibration.wei_downlink_sigma(**(DOWNLINK | {"exposures": 25, "delta": 2.0}))


@pytest.mark.parametrize("name", ["rounds", "num_clients"])
def test_downlink_counts_must_be_positive(name):
  with pytest.raises(UserError, match=name):
    calibration.wei_downlink_sigma(**(DOWNLINK | {name: 0}))
