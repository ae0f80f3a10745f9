"""The mean of Eq. 4, and TFF's own aggregators in its place.

Each is a function to a `WeightedAggregationFactory`; its arguments are those of `build_aggregator`
that it has a use for.
"""

import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import order_statistics
from fedsafe_tff.learning.order_statistics import OrderStatistic

Factory = tff.aggregators.WeightedAggregationFactory


def mean() -> Factory:
  """The mean w = sum p_i w_i with p_i = n_i / sum n (Eq. 4)."""
  return tff.aggregators.MeanFactory()


def secure_sum() -> Factory:
  """The mean through TFF's secure sum: a simulation of the arithmetic, and no cryptography.

  Coordinates are rounded to integers within a bound that TFF adapts, at first 100 for coordinate
  times n_i.
  """
  # Clipping to TFF's quantile would make it another mean.
  return tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=True)


def robust() -> Factory:
  """TFF's zeroing of outliers and adaptive clipping."""
  return tff.learning.robust_aggregator(zeroing=True, clipping=True, weighted=True)


def median() -> Factory:
  """The median of all clients' uploads, coordinate by coordinate; every client counts alike."""
  return tff.aggregators.as_weighted_aggregator(OrderStatistic(order_statistics.median))


def trimmed_mean() -> Factory:
  """Their mean without the lowest and the highest fifth of the values of each coordinate."""
  return tff.aggregators.as_weighted_aggregator(OrderStatistic(order_statistics.trimmed_mean))


def central_dp(
  clip_norm: float, noise_multiplier: float, clients_per_round: int
) -> Factory:
  """Every client counts alike, is clipped to `clip_norm`, and the server adds Gaussian noise.

  TFF draws it from an unseeded generator, so that such a run can't be repeated bit for bit.
  """
  return tff.aggregators.as_weighted_aggregator(
    tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
      noise_multiplier=noise_multiplier, clients_per_round=clients_per_round, clip=clip_norm
    )
  )


def adaptive_dp(noise_multiplier: float, clients_per_round: int) -> Factory:
  """The same with a clipping norm that follows a quantile of the uploads' norms.

  The quantile is estimated with noise of its own, for which the uploads get so much more that both
  together are as private as `noise_multiplier` says.

  Raises:
    UserError: More noise than adaptive clipping can have.
  """
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
