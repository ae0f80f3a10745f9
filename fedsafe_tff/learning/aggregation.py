"""Aggregation: the weighted mean of Eq. 4 and TFF's own aggregators in its place."""

from collections.abc import Callable

import tensorflow_federated as tff

from fedsafe_tff.errors import UserError

Factory = tff.aggregators.WeightedAggregationFactory


def _mean(clip_norm: float, noise_multiplier: float, clients_per_round: int) -> Factory:
  """The mean w = sum p_i w_i with p_i = n_i / sum n (Eq. 4)."""
  del clip_norm, noise_multiplier, clients_per_round
  return tff.aggregators.MeanFactory()


def _secure_sum(clip_norm: float, noise_multiplier: float, clients_per_round: int) -> Factory:
  """The mean through TFF's secure sum: a simulation of the arithmetic, and no cryptography.

  Coordinates are rounded to integers within a bound that TFF adapts, at first 100 for coordinate
  times n_i.
  """
  del clip_norm, noise_multiplier, clients_per_round
  # Clipping to TFF's quantile would make it another mean.
  return tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=True)


def _robust(clip_norm: float, noise_multiplier: float, clients_per_round: int) -> Factory:
  """TFF's zeroing of outliers and adaptive clipping."""
  del clip_norm, noise_multiplier, clients_per_round
  return tff.learning.robust_aggregator(zeroing=True, clipping=True, weighted=True)


def _central_dp(clip_norm: float, noise_multiplier: float, clients_per_round: int) -> Factory:
  """Every client counts alike, is clipped to `clip_norm`, and the server adds Gaussian noise.

  TFF draws it from an unseeded generator, so that such a run can't be repeated bit for bit.
  """
  return tff.aggregators.as_weighted_aggregator(
    tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
      noise_multiplier=noise_multiplier, clients_per_round=clients_per_round, clip=clip_norm
    )
  )


def _adaptive_dp(clip_norm: float, noise_multiplier: float, clients_per_round: int) -> Factory:
  """The same with a clipping norm that follows a quantile of the uploads' norms.

  The quantile is estimated with noise of its own, for which the uploads get so much more that both
  together are as private as `noise_multiplier` says.

  Raises:
    UserError: More noise than adaptive clipping can have.
  """
  del clip_norm
  most = round(0.1 * clients_per_round, 9)  # twice TFF's noise on the count of clipped uploads
  if noise_multiplier >= most:
    raise UserError(
      f"--dp_noise_multiplier={noise_multiplier} must be below a tenth of the clients a round "
      f"({most:g}) for TFF's adaptive clipping: lower it, add clients or take central_dp"
    )
  # The threshold above which TFF zeroes follows a quantile that gets no noise: one client's upload
  # would decide whether the others count in the next round, and no epsilon would hold.
  return tff.aggregators.as_weighted_aggregator(
    tff.learning.dp_aggregator(noise_multiplier, clients_per_round, zeroing=False)
  )


# Name to a function of (clip_norm, noise_multiplier, clients_per_round).
AGGREGATORS: dict[str, Callable[[float, float, int], Factory]] = {
  "mean": _mean,
  "secure_sum": _secure_sum,
  "robust": _robust,
  "central_dp": _central_dp,
  "adaptive_dp": _adaptive_dp,
}


def build_aggregator(
  name: str,
  *,
  clip_norm: float = 0.0,
  noise_multiplier: float = 0.0,
  clients_per_round: int = 1,
) -> Factory:
  """Builds an aggregator of (upload, number of examples).

  Args:
    name: Key of `AGGREGATORS`.
    clip_norm: Clipping norm C of "central_dp".
    noise_multiplier: Noise over clipping norm, of "central_dp" and "adaptive_dp".
    clients_per_round: How many clients take part in each round.

  Raises:
    UserError: An unknown name, or more noise than adaptive clipping can have.
  """
  if name not in AGGREGATORS:
    *others, last = AGGREGATORS
    raise UserError(f"--aggregator={name} is unknown: choose {', '.join(others)} or {last}")
  return AGGREGATORS[name](clip_norm, noise_multiplier, clients_per_round)
