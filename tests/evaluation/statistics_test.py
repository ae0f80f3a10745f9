import itertools
import math

import numpy as np
import pytest
import scipy.stats

from fedsafe_tff.evaluation.statistics import clopper_pearson_low, mcnemar, wilson


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (3, 10), (10, 10), (81, 263), (1, 1)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_solves_its_equation(successes, count, level):
  """Its ends are the rates from which the share is z standard errors away."""
  rate = wilson(successes, count, level)
  z = scipy.stats.norm.ppf(0.5 + level / 2)
  share = successes / count
  centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
  spread = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
  assert rate.low == pytest.approx(centre - spread, abs=1e-9)
  assert rate.high == pytest.approx(centre + spread, abs=1e-9)
  assert rate.value == share and rate.count == count
  assert 0 <= rate.low <= share <= rate.high <= 1


def test_wilson_published():
  """Newcombe, Statistics in Medicine 17 (1998), Table I: 81 of 263 and 0 of 20."""
  rate = wilson(81, 263)
  assert (round(rate.low, 4), round(rate.high, 4)) == (0.2553, 0.3662)
  rate = wilson(0, 20)
  assert (round(rate.low, 4), round(rate.high, 4)) == (0.0, 0.1611)


@pytest.mark.parametrize(("successes", "count", "alpha"), [(1, 10, 0.05), (99, 100, 0.001)])
def test_clopper_pearson_is_where_the_tail_is_alpha(successes, count, alpha):
  low = float(clopper_pearson_low(successes, count, alpha))
  tail = sum(
    math.comb(count, k) * low**k * (1 - low) ** (count - k) for k in range(successes, count + 1)
  )
  assert tail == pytest.approx(alpha, rel=1e-6)


def test_clopper_pearson_at_its_ends():
  low = clopper_pearson_low(np.array([0, 100]), 100, 0.001)
  np.testing.assert_allclose(low, [0.0, 0.001 ** (1 / 100)])


def rows(both, only_first, only_second, neither):
  pairs = [(1, 1)] * both + [(1, 0)] * only_first + [(0, 1)] * only_second + [(0, 0)] * neither
  return np.array(pairs, bool).T


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 6), (5, 5), (9, 2), (0, 4)])
def test_mcnemar_counts_all_ways_to_deal_what_differs(only_first, only_second):
  found = mcnemar(*rows(7, only_first, only_second, 20))
  apart = only_first + only_second
  worse = abs(only_first - apart / 2)
  ways = [
    abs(sum(deal) - apart / 2) >= worse - 1e-9 for deal in itertools.product((0, 1), repeat=apart)
  ]
  assert found.p == pytest.approx(np.mean(ways))
  assert (found.only_first, found.only_second) == (only_first, only_second)
  count = 27 + apart
  assert found.difference == pytest.approx((only_second - only_first) / count)
  assert found.low <= found.difference <= found.high
  assert found.first == pytest.approx((7 + only_first) / count)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 6), (9, 2)])
def test_the_interval_of_the_difference_is_that_of_a_mean_with_two_images_more(
  only_first, only_second
):
  """Bonett and Price: Wald's, with one image more that counts for each of the two alone."""
  found = mcnemar(*rows(7, only_first, only_second, 20))
  differences = np.repeat([-1, 1, 0], [only_first + 1, only_second + 1, 27])
  half = 1.959963984540054 * differences.std() / math.sqrt(len(differences))
  assert found.low == pytest.approx(differences.mean() - half)
  assert found.high == pytest.approx(differences.mean() + half)
  assert found.low < found.high


def test_odds_ratio_and_its_ends():
  assert mcnemar(*rows(0, 2, 6, 0)).odds_ratio == 3.0
  assert mcnemar(*rows(1, 0, 6, 0)).odds_ratio == float("inf")
  assert math.isnan(mcnemar(*rows(1, 0, 0, 1)).odds_ratio)


def test_the_interval_of_the_difference_covers_it():
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(300):
    deal = rng.choice(4, 80, p=[0.4, 0.15, 0.25, 0.2])
    first, second = np.isin(deal, (0, 1)), np.isin(deal, (0, 2))
    found = mcnemar(first, second)
    covered += found.low <= 0.1 <= found.high
  assert covered / 300 > 0.92


def test_rows_of_other_lengths_are_refused():
  with pytest.raises(ValueError, match="as many images"):
    mcnemar(np.ones(3, bool), np.ones(4, bool))
