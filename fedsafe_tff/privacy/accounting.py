"""What can be proved about the noise, with the `dp-accounting` library.

Replacing one record of a client can turn any clipped vector into any other, so that an upload moves
by up to 2C, not by the paper's 2C/m: training is no average of per-record minimisers. The library
takes noise over sensitivity and ignores replace-one adjacency, hence the doubling by hand. Uploads
compose adaptively over the rounds: k Gaussian mechanisms of noise multiplier z are exactly as
private as one of z / sqrt(k) (Dong, Roth and Su, "Gaussian Differential Privacy", 2022, cor. 3.3).
"""

import functools
import math

import dp_accounting
from dp_accounting import rdp
from dp_accounting.pld import privacy_loss_mechanism
from scipy import optimize

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.calibration import paper_epsilon

# The library's orders begin at 1.1, which is coarse where epsilon is large.
_ORDERS = tuple(1.0 + 10.0 ** (-i / 8) for i in range(8, 33)) + tuple(
  rdp.rdp_privacy_accountant.DEFAULT_RDP_ORDERS
)
# From here on rounding spoils the exact formula, and Renyi DP is as good.
_LARGE = 1e9


@functools.lru_cache(maxsize=4096)
def gaussian_epsilon(
  noise_multiplier: float, compositions: int, delta: float, sampling_rate: float = 1.0
) -> float:
  """Epsilon of composed Gaussian mechanisms: exact without sampling, by Renyi DP with it.

  Args:
    noise_multiplier: Standard deviation over L2 sensitivity.
    compositions: How many releases.
    delta: delta of the guarantee.
    sampling_rate: Poisson sampling rate of the units; 1 means all take part.

  Returns:
    epsilon; infinite without noise.

  Raises:
    UserError: A value is out of range.
  """
  _check(compositions, delta, sampling_rate)
  if compositions == 0:
    return 0.0
  if not noise_multiplier > 0 or noise_multiplier**2 == 0:  # Too small for floating point.
    return math.inf
  if math.isinf(noise_multiplier):
    return 0.0
  event = dp_accounting.GaussianDpEvent(noise_multiplier)
  if sampling_rate < 1.0:
    event = dp_accounting.PoissonSampledDpEvent(sampling_rate, event)
  accountant = rdp.RdpAccountant(orders=_ORDERS)
  accountant.compose(event, compositions)
  bound = float(accountant.get_epsilon(delta))
  if sampling_rate < 1.0 or not 0.0 < bound < _LARGE:
    return bound
  return _exact_epsilon(noise_multiplier / math.sqrt(compositions), delta, bound)


def _check(compositions: int, delta: float, sampling_rate: float) -> None:
  if compositions < 0:
    raise UserError(f"the number of releases is {compositions}, but must be 0 or more")
  if not 0.0 < delta < 1.0:
    raise UserError(f"delta is {delta}, but must lie in (0, 1)")
  if not 0.0 < sampling_rate <= 1.0:
    raise UserError(f"the sampling rate is {sampling_rate}, but must lie in (0, 1]")


def _exact_epsilon(noise_multiplier: float, delta: float, bound: float) -> float:
  """Solves delta(epsilon) = `delta` for one Gaussian release on [0, `bound`]."""
  mechanism = privacy_loss_mechanism.GaussianPrivacyLoss(noise_multiplier)

  def excess(epsilon: float) -> float:
    return mechanism.get_delta_for_epsilon(epsilon) - delta

  if excess(0.0) <= 0.0:
    return 0.0
  if excess(bound) >= 0.0:  # Rounding; the bound itself is proved.
    return bound
  tolerance = 1e-9
  root = optimize.brentq(excess, 0.0, bound, xtol=tolerance * bound, rtol=tolerance)
  return min(bound, root + 2.0 * tolerance * bound)  # Never below the truth.


def provable_epsilon(*, sigma: float, clip_norm: float, uploads: int, delta: float) -> float:
  """Epsilon of one client's uploads, record level, replace-one adjacency.

  Args:
    sigma: Noise per uploaded coordinate.
    clip_norm: Norm C to which the upload is clipped; 0 means it is not.
    uploads: Number of uploads.
    delta: delta of the guarantee.

  Returns:
    epsilon; infinite without noise or without clipping, 0 before the first upload.

  Raises:
    UserError: `delta` is outside (0, 1) or `uploads` is negative.
  """
  unbounded = not (sigma > 0 and clip_norm > 0)
  noise_multiplier = 0.0 if unbounded else sigma / (2.0 * clip_norm)
  return gaussian_epsilon(noise_multiplier, uploads, delta)


def central_epsilon(
  *, noise_multiplier: float, rounds: int, delta: float, sampling_rate: float = 1.0
) -> float:
  """Epsilon of central DP (DP-FedAvg), client level, add-or-remove-one.

  Args:
    noise_multiplier: Noise on the sum of the clients' clipped updates, over the clipping norm.
    rounds: Number of aggregates released.
    delta: delta of the guarantee.
    sampling_rate: Share of the clients in a round, each drawn independently (Poisson); 1 for all.

  Returns:
    epsilon; infinite without noise.

  Raises:
    UserError: A value is out of range.
  """
  return gaussian_epsilon(noise_multiplier, rounds, delta, sampling_rate)


def statement(
  *,
  uplink_sigma: float,
  clip_norm: float,
  uploads: int,
  min_images: int,
  exposures: int,
  delta: float,
  downlink_sigma: float,
  central_noise_multiplier: float = 0.0,
) -> list[str]:
  """Plain sentences on what the noise of a run guarantees, and what it does not.

  Args:
    uplink_sigma: Noise per uploaded coordinate.
    clip_norm: Clipping norm C; 0 for none.
    uploads: Uploads of a client so far.
    min_images: Least local data set size m.
    exposures: L of the paper's formula.
    delta: delta of the guarantees.
    downlink_sigma: Noise per weight of a client's copy.
    central_noise_multiplier: Of central DP; 0 for none.

  Returns:
    One sentence or two per line; "private" or "DP" only where an accounting backs it.
  """
  lines = []
  if uplink_sigma > 0 and clip_norm > 0:
    lines += _uplink_lines(uplink_sigma, clip_norm, uploads, min_images, exposures, delta)
  elif uplink_sigma > 0:
    lines.append(
      f"Uploads are noised (sigma {uplink_sigma:.4g} per coordinate) but not clipped: no epsilon "
      "follows."
    )
  if central_noise_multiplier > 0:
    epsilon = central_epsilon(
      noise_multiplier=central_noise_multiplier, rounds=uploads, delta=delta
    )
    lines.append(
      "Aggregate: Gaussian mechanism at the server, noise multiplier "
      f"{central_noise_multiplier:g}, {_times(uploads)}: ({epsilon:.4g}, {delta:g})-DP for a "
      "whole client, add-or-remove-one, all clients in every round, against whoever sees the "
      "global models; the server itself sees the uploads."
    )
  accounted = bool(lines) and (clip_norm > 0 or central_noise_multiplier > 0)
  if accounted:
    lines.append(
      "Not covered: the metrics that clients report (loss, accuracy, norm before clipping, number "
      "of images) and the server's own images. The noise comes from a pseudo-random generator in "
      "floating point; the guarantee holds against observers who don't know its seed."
    )
  if downlink_sigma > 0:
    lines.append(
      f"Copies sent to clients are noised (sigma {downlink_sigma:.4g} per weight), a defence "
      "against transferred attacks: no sensitivity is bounded for this noise, no epsilon follows "
      "from it, and whoever collects several copies averages it away."
    )
  return lines or ["No noise: no privacy statement can be made."]


def _uplink_lines(
  sigma: float, clip_norm: float, uploads: int, min_images: int, exposures: int, delta: float
) -> list[str]:
  provable = provable_epsilon(sigma=sigma, clip_norm=clip_norm, uploads=uploads, delta=delta)
  nominal = paper_epsilon(
    sigma=sigma, delta=delta, clip_norm=clip_norm, min_images=min_images, exposures=exposures
  )
  return [
    f"Uploads: Gaussian mechanism, sigma {sigma:.4g} at sensitivity 2C = {2 * clip_norm:.4g}, "
    f"{_times(uploads)}: ({provable:.4g}, {delta:g})-DP for a record (one image) of a client, "
    "replace-one adjacency, against whoever sees all its uploads, the server included.",
    f"The paper's formula gives the same noise a nominal epsilon of {nominal:.4g} (sensitivity "
    f"2C/m with m = {min_images}, L = {exposures}); it takes the minimiser of an average for the "
    "average of minimisers and is not a proof.",
  ]


def _times(count: int) -> str:
  return f"{count} composition" + ("" if count == 1 else "s")
