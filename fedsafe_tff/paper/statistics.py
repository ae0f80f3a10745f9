"""Means with intervals over seeds, paired comparisons, and a correction for many of them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.stats

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over seeds.

  Attributes:
    mean: The mean.
    half_width: Of the 95 % t-interval; None for fewer than two seeds.
    count: Number of seeds.
    images: Of how many images a rate of one seed is the share; 0 where that is not to be told.
  """

  mean: float
  half_width: float | None
  count: int
  images: int = 0

  def text(self, digits: int = 3, plus_minus: str = " ± ") -> str:
    """Mean and half-width of the interval."""
    if self.half_width is None:
      return f"{self.mean:.{digits}f}"
    return f"{self.mean:.{digits}f}{plus_minus}{self.half_width:.{digits}f}"

  @property
  def high(self) -> float | None:
    """Upper end of the interval; None for fewer than two seeds."""
    return None if self.half_width is None else self.mean + self.half_width

  @property
  def low(self) -> float | None:
    """Lower end of the interval; None for fewer than two seeds."""
    return None if self.half_width is None else self.mean - self.half_width


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Second less first, paired by seed.

  Attributes:
    first: Of the seeds that both have.
    second: Of the seeds that both have.
    difference: Mean of the differences with its interval.
    p: Two-sided p-value of the paired t-test; None for fewer than two pairs.
  """

  first: Estimate
  second: Estimate
  difference: Estimate
  p: float | None


def estimate(values: Sequence[float]) -> Estimate:
  """Mean and t-interval of `values`, of which there must be one at least."""
  array = np.asarray(values, float)
  count = len(array)
  if count < 2:
    return Estimate(float(array.mean()), None, count)
  quantile = scipy.stats.t.ppf(0.5 + LEVEL / 2, count - 1)
  half_width = quantile * array.std(ddof=1) / math.sqrt(count)
  return Estimate(float(array.mean()), float(half_width), count)


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison | None:
  """Paired comparison of two methods, of which each maps seeds to values.

  Args:
    first: Values by seed.
    second: Values by seed.

  Returns:
    The comparison over the seeds of both; None when they share none. Where all n differences are
    alike a t-test has no answer: p is then that of the sign-flip test, 1 if they are 0, else
    2^(1 - n).
  """
  seeds = sorted(first.keys() & second.keys())
  if not seeds:
    return None
  left = np.array([first[seed] for seed in seeds], float)
  right = np.array([second[seed] for seed in seeds], float)
  difference = estimate(right - left)
  if len(seeds) < 2:
    p = None
  # Equal up to rounding: the test would divide rounding errors by one another.
  elif np.ptp(right - left) < 1e-12:
    p = 1.0 if abs(difference.mean) < 1e-12 else 2.0 ** (1 - len(seeds))
  else:
    p = float(scipy.stats.ttest_rel(right, left).pvalue)
  return Comparison(estimate(left), estimate(right), difference, p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
  """Holm's adjustment: each p-value as it counts when all are looked at; None stays None."""
  known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
  adjusted: list[float | None] = [None] * len(p_values)
  highest = 0.0
  for rank, (p, index) in enumerate(known):
    highest = max(highest, min(1.0, (len(known) - rank) * p))
    adjusted[index] = highest
  return adjusted
