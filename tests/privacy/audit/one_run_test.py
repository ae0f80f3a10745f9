"""The bound itself: by hand, and against a mechanism whose epsilon is known."""

import math

import numpy as np
import pytest
from scipy import stats

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.audit.one_run import audit, coins, lower_bound, p_value


def test_p_value_of_pure_privacy_is_a_binomials_tail():
  """Guesses under epsilon-DP are right with probability e^eps / (1 + e^eps) at most."""
  rate = math.e / (1 + math.e)
  assert p_value(100, 40, 35, 1.0, 0.0) == pytest.approx(stats.binom.sf(34, 40, rate))
  assert p_value(100, 40, 0, 1.0, 0.0) == 1.0


def test_delta_by_hand_on_two_guesses():
  # One of one right: beta = q, alpha = P(0 right) / 1.
  q = 1 / (1 + math.exp(-0.5))
  assert p_value(2, 1, 1, 0.5, 0.01) == pytest.approx(min(1, q + 2 * 2 * 0.01 * (1 - q)))


def test_lower_bound_by_hand():
  # All of 100 right: q^100 = 0.05.
  q = 0.05 ** (1 / 100)
  assert lower_bound(100, 100, 100, 0.0) == pytest.approx(math.log(q / (1 - q)), abs=1e-3)
  assert lower_bound(100, 100, 55, 0.0) == 0.0  # as coins would
  assert 0 < lower_bound(100, 100, 100, 1e-3) < lower_bound(100, 100, 100, 0.0)
  values = [lower_bound(200, 100, v, 1e-5) for v in range(50, 101, 10)]
  assert values == sorted(values)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomised_response_is_bounded_below_and_never_refuted(epsilon):
  """Exactly epsilon-DP: the bound comes near and, with its confidence, not above."""
  rng = np.random.default_rng(0)
  bounds = []
  for _ in range(40):
    included = rng.random(2000) < 0.5
    truth = rng.random(2000) < 1 / (1 + math.exp(-epsilon))
    score = np.where(truth, included, ~included) + 1e-6 * rng.random(2000)
    bounds.append(audit({"answer": score}, included, 0.0, shares=(1.0,)).epsilon)
  assert np.mean(np.array(bounds) > epsilon) <= 0.15  # 5 % are expected
  assert np.median(bounds) > 0.75 * epsilon


def test_gaussian_noise_is_not_refuted_by_many_scorers_at_once():
  """Choosing the best of many would refute the truth, were it not paid for."""
  rng = np.random.default_rng(1)
  refuted = 0
  for _ in range(40):
    included = rng.random(300) < 0.5
    scores = {str(i): rng.normal(size=300) for i in range(10)}  # know nothing: epsilon 0
    refuted += audit(scores, included, 1e-5).refutes(0.0)
  assert refuted <= 6


def test_the_sentence_gives_a_verdict():
  included = coins(300, 1)
  bound = audit({"all": included.astype(float)}, included, 1e-5)
  assert bound.correct == bound.guesses and bound.epsilon > 2
  assert "is REFUTED" in bound.sentence(1.0) and "not refuted" in bound.sentence(20.0)
  assert bound.scorer == "all" and bound.epsilon <= bound.most


def test_coins_are_fair_and_repeatable():
  made = coins(4000, 3)
  assert abs(made.mean() - 0.5) < 0.03
  np.testing.assert_array_equal(made, coins(4000, 3))
  assert (made != coins(4000, 4)).any()


@pytest.mark.parametrize(
  "call",
  [
    lambda: lower_bound(10, 11, 5, 0.0),
    lambda: lower_bound(10, 5, 6, 0.0),
    lambda: lower_bound(10, 5, 5, 1.0),
    lambda: audit({}, [True], 0.0),
    lambda: audit({"a": [1.0]}, [True, False], 0.0),
    lambda: audit({"a": [1.0, math.nan]}, [True, False], 0.0),
  ],
)
def test_numbers_that_do_not_go_together(call):
  with pytest.raises(UserError):
    call()
