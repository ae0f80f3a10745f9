"""Aggregation: the weighted mean of Eq. 4 and TFF's own aggregators in its place."""

import tensorflow_federated as tff

from fedsafe_tff.errors import UserError


def build_aggregator(
  name: str,
  *,
  clip_norm: float = 0.0,
  noise_multiplier: float = 0.0,
  clients_per_round: int = 1,
) -> tff.aggregators.WeightedAggregationFactory:
  """Builds an aggregator of (upload, number of examples).

  Args:
    name: "mean": w = sum p_i w_i with p_i = n_i / sum n (Eq. 4). "secure_sum": the same through
      TFF's secure sum, a simulation of the protocol's arithmetic and not cryptography; coordinates
      are rounded to integers within a bound that TFF adapts, at first 100 for coordinate times
      n_i. "robust":
      TFF's zeroing of outliers and adaptive clipping. "central_dp": every client counts alike, is
      clipped to `clip_norm`, and the server adds Gaussian noise; "adaptive_dp": the same with
      TFF's `dp_aggregator`, whose clipping norm follows a quantile of the uploads' norms that is
      estimated with noise of its own, for which the uploads get so much more that both together
      are as private as `noise_multiplier` says. Outliers are not zeroed: TFF estimates from where
      on without noise. TFF draws the noise of both from an unseeded generator, so that such a run
      can't be repeated bit for bit.
    clip_norm: Clipping norm C of "central_dp".
    noise_multiplier: Noise over clipping norm, of "central_dp" and "adaptive_dp".
    clients_per_round: How many clients take part in each round.

  Raises:
    UserError: An unknown name, or more noise than adaptive clipping can have.
  """
  if name == "mean":
    return tff.aggregators.MeanFactory()
  if name == "secure_sum":
    # Clipping to TFF's quantile would make it another mean.
    return tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=True)
  if name == "robust":
    return tff.learning.robust_aggregator(zeroing=True, clipping=True, weighted=True)
  if name == "central_dp":
    return tff.aggregators.as_weighted_aggregator(
      tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
        noise_multiplier=noise_multiplier, clients_per_round=clients_per_round, clip=clip_norm
      )
    )
  if name == "adaptive_dp":
    most = round(0.1 * clients_per_round, 9)  # twice TFF's noise on the count of clipped uploads
    if noise_multiplier >= most:
      raise UserError(
        f"--dp_noise_multiplier={noise_multiplier} must be below a tenth of the clients a round "
        f"({most:g}) for TFF's adaptive clipping: lower it, add clients or take central_dp"
      )
    # The threshold above which TFF zeroes follows a quantile that gets no noise: one client's
    # upload would decide whether the others count in the next round, and no epsilon would hold.
    return tff.aggregators.as_weighted_aggregator(
      tff.learning.dp_aggregator(noise_multiplier, clients_per_round, zeroing=False)
    )
  raise UserError(
    f"--aggregator={name} is unknown: choose mean, secure_sum, robust, central_dp or adaptive_dp"
  )
