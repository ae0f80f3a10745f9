"""Aggregators and TFF's algorithms by name: a new one takes a function and a line.

They are imported on first use, so that flags know their names without TFF.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from fedsafe_tff import lazy


@dataclasses.dataclass(frozen=True)
class Aggregator:
  """An aggregator.

  Attributes:
    build: A function, see `aggregators`, or a `lazy.Member` that imports it.
    help: What it is, in a few words for `--help`.
    central_dp: Whether it adds noise at the server, for an accounting as central DP.
    clips: Whether it clips to `clip_norm`, which then must be above 0.
  """

  build: Callable[..., Any]
  help: str = ""
  central_dp: bool = False
  clips: bool = False


AGGREGATORS: dict[str, Aggregator] = {
  "mean": Aggregator(lazy.Member("fedsafe_tff.learning.aggregators", "mean"), "Eq. 4"),
  "secure_sum": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "secure_sum"),
    "simulated; it bounds a coordinate times the client's images, at first by 100",
  ),
  "robust": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "robust"), "zeroing and clipping"
  ),
  "median": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "median"),
    "of every coordinate, all clients alike",
  ),
  "trimmed_mean": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "trimmed_mean"),
    "the same without the lowest and highest fifth of the values",
  ),
  "central_dp": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "central_dp"),
    "clipping to --clip_norm, and noise at the server",
    central_dp=True,
    clips=True,
  ),
  "adaptive_dp": Aggregator(
    lazy.Member("fedsafe_tff.learning.aggregators", "adaptive_dp"),
    "the same, clipping to a quantile",
    central_dp=True,
  ),
}

# Of TFF's own algorithms; each takes (model, client optimizer, server optimizer, prox_mu, dp).
ALGORITHMS: dict[str, Callable[..., Any]] = {
  "tff_fed_avg": lazy.Member("fedsafe_tff.learning.algorithms", "fed_avg"),
  "tff_fed_prox": lazy.Member("fedsafe_tff.learning.algorithms", "fed_prox"),
  "tff_mime_lite": lazy.Member("fedsafe_tff.learning.algorithms", "mime_lite"),
  "tff_dp_fed_avg": lazy.Member("fedsafe_tff.learning.algorithms", "dp_fed_avg"),
}
