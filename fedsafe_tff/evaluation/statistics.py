"""Statistics over images: intervals of a rate, and two defences on the same images."""

import dataclasses
import math

import numpy as np
import scipy.stats

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Rate:
  """A share of images.

  Attributes:
    value: The share.
    low: Lower end of its interval.
    high: Upper end.
    count: Of how many images.
  """

  value: float
  low: float
  high: float
  count: int


@dataclasses.dataclass(frozen=True)
class PairedRates:
  """Two shares on the same images, second less first.

  Attributes:
    first: Share of the first.
    second: Share of the second.
    only_first: Images that count for the first alone.
    only_second: Images that count for the second alone.
    difference: second - first.
    low: Lower end of the difference's interval.
    high: Upper end.
    odds_ratio: only_second / only_first, the effect size that McNemar's test is about; infinite
      where only_first is 0, NaN where both are.
    p: Two-sided p-value of McNemar's exact test.
    count: Number of images.
  """

  first: float
  second: float
  only_first: int
  only_second: int
  difference: float
  low: float
  high: float
  odds_ratio: float
  p: float
  count: int


def wilson(successes: int, count: int, level: float = LEVEL) -> Rate:
  """Wilson's score interval of a share (JASA 22, 1927).

  Args:
    successes: How many images count.
    count: Of how many, at least one.
    level: Of the interval, in (0, 1).
  """
  share = successes / count
  return Rate(share, *wilson_ends(share, int(count), level), int(count))


def wilson_ends(share: float, count: int, level: float = LEVEL) -> tuple[float, float]:
  """Its ends for a share that may be a mean over clients, which no whole number of images is.

  Args:
    share: In [0, 1].
    count: Of how many; 0 gives NaN.
    level: Of the interval, in (0, 1).
  """
  if count == 0:
    return math.nan, math.nan
  z = float(scipy.stats.norm.ppf(0.5 + level / 2.0))
  middle = share + z * z / (2 * count)
  half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
  scale = 1 + z * z / count
  # They enclose the share, also where rounding would leave one beside it, at 0 and at 1.
  low, high = (middle - half) / scale, (middle + half) / scale
  return min(share, max(0.0, low)), max(share, min(1.0, high))


def clopper_pearson_low(successes: np.ndarray | int, count: int, alpha: float) -> np.ndarray:
  """Lower end of the one-sided exact interval at level 1 - alpha (Biometrika 26, 1934).

  Args:
    successes: Any shape.
    count: Of how many draws.
    alpha: Chance that the true rate is lower, in (0, 1).

  Returns:
    float64, shaped as `successes`.
  """
  successes = np.asarray(successes)
  low = scipy.stats.beta.ppf(alpha, np.maximum(successes, 1), count - successes + 1)
  return np.where(successes == 0, 0.0, low)


def mcnemar(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> PairedRates:
  """McNemar's exact test (Psychometrika 12, 1947) of two shares on the same images.

  Args:
    first: bool [n], which images count for the first defence (fooled, say).
    second: bool [n], for the second.
    level: Of the difference's interval (Bonett and Price, JEBS 37, 2012).

  Raises:
    ValueError: Not the same number of images, or none.
  """
  first, second = np.asarray(first, bool), np.asarray(second, bool)
  if first.shape != second.shape or first.ndim != 1 or not len(first):
    raise ValueError(f"two rows of as many images are needed, not {first.shape}, {second.shape}")
  count = len(first)
  only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
  apart = only_first + only_second
  p = scipy.stats.binomtest(only_first, apart).pvalue if apart else 1.0
  lost, won = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
  spread = np.sqrt((lost + won - (won - lost) ** 2) / (count + 2))
  half_width = scipy.stats.norm.ppf(0.5 + level / 2) * spread
  ratio = only_second / only_first if only_first else float("inf" if only_second else "nan")
  return PairedRates(
    first=float(first.mean()),
    second=float(second.mean()),
    only_first=only_first,
    only_second=only_second,
    difference=(only_second - only_first) / count,
    low=float(max(won - lost - half_width, -1.0)),
    high=float(min(won - lost + half_width, 1.0)),
    odds_ratio=ratio,
    p=float(p),
    count=count,
  )
