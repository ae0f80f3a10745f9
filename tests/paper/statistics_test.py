import math

import numpy as np
import pytest
import scipy.stats

from fedsafe_tff.paper.results import Results, table_text
from fedsafe_tff.paper.statistics import compare, estimate, holm

VALUES = [0.31, 0.28, 0.35, 0.30, 0.29]


def test_mean_and_t_interval_are_those_of_scipy():
  found = estimate(VALUES)
  low, high = scipy.stats.t.interval(
    0.95, 4, loc=np.mean(VALUES), scale=scipy.stats.sem(VALUES)
  )
  assert found.count == 5
  assert found.mean == pytest.approx(np.mean(VALUES))
  assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
    (low, high)
  )


def test_the_interval_by_hand():
  # t(0.975, 1) = 12.7062; the standard error of 0 and 2 is 1.
  assert estimate([0.0, 2.0]).half_width == pytest.approx(12.7062, abs=1e-4)
  assert estimate([0.25]).half_width is None
  assert estimate([0.25]).text() == "0.250"
  assert estimate([0.0, 2.0]).text(1) == "1.0 ± 12.7"


def test_the_comparison_is_paired_by_seed():
  first = {0: 0.30, 1: 0.50, 2: 0.10, 7: 0.99}
  second = {2: 0.08, 0: 0.27, 1: 0.44, 9: 0.01}
  found = compare(first, second)
  expected = scipy.stats.ttest_rel([0.27, 0.44, 0.08], [0.30, 0.50, 0.10])
  assert found.difference.count == 3  # seeds 7 and 9 have no partner
  assert found.difference.mean == pytest.approx(-0.11 / 3)
  assert found.second.mean - found.first.mean == pytest.approx(found.difference.mean)
  assert found.p == pytest.approx(expected.pvalue)
  unpaired = scipy.stats.ttest_ind([0.27, 0.44, 0.08], [0.30, 0.50, 0.10]).pvalue
  assert found.p < 0.2 < unpaired


def test_comparisons_that_a_t_test_has_no_answer_for():
  same = {0: 0.3, 1: 0.5}
  assert compare(same, dict(same)).p == 1.0
  shifted = compare(same, {0: 0.1, 1: 0.3})  # alike up to rounding
  assert shifted.p == 0.5 and shifted.difference.mean == pytest.approx(-0.2)
  five = {seed: 0.1 * seed for seed in range(5)}
  assert compare(five, {seed: v + 0.1 for seed, v in five.items()}).p == 1 / 16  # of 32 signs two
  assert compare({0: 0.3}, {0: 0.2}).p is None
  assert compare({0: 0.3}, {1: 0.2}) is None


def test_holm_by_hand():
  # Sorted 0.01, 0.02, 0.04 times 3, 2, 1; never below the one before.
  assert holm([0.04, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04])
  assert holm([0.9, 0.8]) == [1.0, 1.0]
  assert holm([]) == []
  assert not math.isnan(holm([0.5])[0])


def test_one_seed_has_an_interval_over_its_images():
  row = {
    "task": "a", "method": "none", "variant": "", "eps": 0.1, "attacked_images": 100,
    "clean_accuracy": 0.8,
  }  # fmt: skip
  one = Results([row | {"seed": 0, "asr_self": 0.5}])
  assert table_text(one.estimate("asr_self")) == "0.500 [0.40, 0.60]"  # Wilson: 0.404 to 0.596
  assert table_text(one.estimate("clean_accuracy")) == "0.800"  # over other images
  other = Results([row | {"seed": 0, "asr_self": 0.5, "asr_avg": 0.5, "asr_self_correct": 0.6,
                          "asr_avg_correct": 0.6}]).reading("_correct")  # fmt: skip
  assert table_text(other.estimate("asr_self")) == "0.600"  # of fewer images than were attacked
  assert "Wilson" in one.one_seed_note()
  two = Results([row | {"seed": seed, "asr_self": 0.5 + seed / 10} for seed in (0, 1)])
  assert "±" in table_text(two.estimate("asr_self")) and two.one_seed_note() == ""
  part = Results([*two.rows, row | {"seed": 0, "eps": 0.2, "asr_self": 0.5}])
  assert "Wilson" in part.one_seed_note()  # a sweep that is not finished
  sizes = Results([row | {"seed": 0, "eps": eps, "asr_self": 0.5} for eps in (0.1, 0.2)])
  assert table_text(sizes.estimate("asr_self")) == "0.500"  # over sizes it is no share of images
