import time

import numpy as np
import pytest

from benchmarks import measure


def test_contenders_take_turns_in_alternating_order():
  runs = []
  seconds = measure.interleaved(
    {"a": lambda: runs.append("a"), "b": lambda: runs.append("b"), "own": lambda: 7.0}, 3
  )
  assert "".join(runs) == "ba" + "ab" + "ba" + "ab"  # a warm-up and three repeats
  assert seconds["own"] == [7.0] * 3
  assert {len(measured) for measured in seconds.values()} == {3}


def test_time_that_is_up_leaves_out_repeats_but_the_first():
  runs = []
  seconds = measure.interleaved({"a": lambda: runs.append(1)}, 5, until=time.monotonic() - 1)
  assert len(seconds["a"]) == 1


def test_ratios_are_of_pairs():
  spread = measure.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
  assert spread == measure.Spread(3.0, 2.0, 4.0)
  assert spread.text() == "3.00 (2.00-4.00)"


@pytest.mark.parametrize(
  ("number", "text"),
  [(1234.5, "1234"), (12.345, "12.3"), (1.0, "1.00"), (0.01234, "0.0123"), (0.0, "0")],
)
def test_significant_digits(number, text):
  assert measure.significant(number) == text


def test_matrix_rate_is_a_rate():
  assert np.isfinite(measure.matrix_rate(size=64, seconds=0.01)) and measure.matrix_rate(
    "bfloat16", size=64, seconds=0.0
  ) > 0
