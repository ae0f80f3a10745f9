"""Aggregation: the weighted mean of Eq. 4 and TFF's own aggregators in its place, by name."""

import tensorflow_federated as tff

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning.registry import AGGREGATORS


def build_aggregator(
  name: str,
  *,
  clip_norm: float = 0.0,
  noise_multiplier: float = 0.0,
  clients_per_round: int = 1,
) -> tff.aggregators.WeightedAggregationFactory:
  """Builds an aggregator of (upload, number of examples).

  Args:
    name: Key of `registry.AGGREGATORS`.
    clip_norm: Clipping norm C, in L2, of "central_dp".
    noise_multiplier: Noise over clipping norm, of "central_dp" and "adaptive_dp".
    clients_per_round: How many clients take part in each round.

  Raises:
    UserError: An unknown name, or more noise than adaptive clipping can have.
  """
  if name not in AGGREGATORS:
    raise UserError(f"--aggregator={name} is unknown: choose {lazy.listed(AGGREGATORS)}")
  build = AGGREGATORS[name].build
  offered = {
    "clip_norm": clip_norm,
    "noise_multiplier": noise_multiplier,
    "clients_per_round": clients_per_round,
  }
  return build(**lazy.taken(build, offered))
