"""A lower bound of epsilon from one training (Steinke, Nasr and Jagielski, arXiv:2305.08846).

Each of m canaries is put into the data or left out by a coin. After the training an attacker
scores them and guesses some coins, those of the highest scores as in and of the lowest as out. A
mechanism that is (epsilon, delta)-DP for adding or removing a record lets only so many guesses be
right; more of them refute it, with a confidence that holds whatever the attacker does.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from fedsafe_tff.errors import UserError

_MOST = 50.0  # no number of canaries that is ever used can show more


@dataclasses.dataclass(frozen=True)
class LowerBound:
  """What an audit shows.

  Attributes:
    epsilon: Lower bound; 0 where the guesses show nothing.
    confidence: With which it holds.
    delta: At which delta.
    canaries: How many canaries m.
    guesses: How many coins were guessed.
    correct: How many of them rightly.
    scorer: Whose scores did best.
    most: What all m guesses right would show.
  """

  epsilon: float
  confidence: float
  delta: float
  canaries: int
  guesses: int
  correct: int
  scorer: str
  most: float

  def refutes(self, stated_epsilon: float) -> bool:
    """Whether a stated epsilon is shown to be too small."""
    return self.epsilon > stated_epsilon

  def sentence(self, stated_epsilon: float | None = None) -> str:
    """For a reader."""
    text = (
      f"Audit: {self.correct} of {self.guesses} guesses right on {self.canaries} canaries "
      f"({self.scorer}): epsilon is at least {self.epsilon:.3g} at delta {self.delta:g}, with "
      f"{100 * self.confidence:g} % confidence (at most {self.most:.3g} could be shown)"
    )
    if stated_epsilon is None:
      return text + "."
    verdict = "REFUTED" if self.refutes(stated_epsilon) else "not refuted"
    return f"{text}; the stated epsilon {stated_epsilon:.4g} is {verdict}."


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
  """Probability that so many guesses are right under (epsilon, delta)-DP, at most.

  Theorem 5.2 with the bound of appendix D of the paper.

  Args:
    canaries: m, put in by fair coins of their own.
    guesses: r <= m coins that were guessed.
    correct: v <= r that were guessed rightly.
    epsilon: Of the guarantee.
    delta: Of the guarantee.
  """
  rate = 1.0 / (1.0 + math.exp(-epsilon))
  beta = float(stats.binom.sf(correct - 1, guesses, rate))
  if delta == 0.0:
    return min(1.0, beta)
  pmf = stats.binom.pmf(correct - np.arange(1, correct + 1), guesses, rate)
  alpha = float(np.max(np.cumsum(pmf) / np.arange(1, correct + 1), initial=0.0))
  return min(1.0, beta + 2.0 * canaries * delta * alpha)


def lower_bound(
  canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95
) -> float:
  """The largest epsilon that is refuted, 0 if none is.

  Raises:
    UserError: Numbers that don't go together.
  """
  if not 0 <= correct <= guesses <= canaries:
    raise UserError(f"{correct} of {guesses} guesses on {canaries} canaries can't be")
  if not (0 <= delta < 1 and 0 < confidence < 1):
    raise UserError("an audit needs delta in [0, 1) and a confidence in (0, 1)")
  allowed = 1.0 - confidence

  def refuted(epsilon: float) -> bool:
    return p_value(canaries, guesses, correct, epsilon, delta) < allowed

  if not refuted(0.0):
    return 0.0
  low, high = 0.0, _MOST
  while high - low > 1e-4:
    middle = (low + high) / 2.0
    low, high = (middle, high) if refuted(middle) else (low, middle)
  return low


def coins(count: int, seed: int) -> np.ndarray:
  """Which canaries are put in, bool [count]."""
  from fedsafe_tff.data.seeds import generator

  return generator(seed, "canaries").random(count) < 0.5


def audit(
  scores: Mapping[str, Sequence[float]],
  included: Sequence[bool],
  delta: float,
  *,
  confidence: float = 0.95,
  shares: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
) -> LowerBound:
  """The best bound of several scorers and numbers of guesses.

  What is tried is paid for: with k tries each has to hold with confidence 1 - (1 - confidence) / k.

  Args:
    scores: By scorer, a number per canary, higher where it seems to be in.
    included: Whether each was put in; fair coins, which the scorers must not have seen.
    delta: At which to bound epsilon.
    confidence: Of the bound over all tries.
    shares: Shares of the canaries that are guessed, half as in and half as out.

  Raises:
    UserError: No canaries, or scores that are not as many or no numbers.
  """
  included = np.asarray(included, bool)
  if not len(included) or not scores:
    raise UserError("an audit needs canaries and somebody who scores them")
  count = len(included)
  strict = 1.0 - (1.0 - confidence) / (len(scores) * len(shares))
  most = lower_bound(count, count, count, delta, strict)
  best = LowerBound(0.0, confidence, delta, count, 0, 0, "nobody", most)
  for name, values in scores.items():
    values = np.asarray(values, float)
    if values.shape != included.shape or np.isnan(values).any():
      raise UserError(f"scorer {name} must give a number for each of {count} canaries")
    order = np.argsort(values, kind="stable")
    for share in shares:
      side = max(1, round(count * share / 2.0))
      lowest, highest = order[:side], order[max(side, count - side) :]
      guesses = len(lowest) + len(highest)
      correct = int((~included[lowest]).sum() + included[highest].sum())
      if p_value(count, guesses, correct, best.epsilon, delta) < 1.0 - strict:
        epsilon = lower_bound(count, guesses, correct, delta, strict)
        best = dataclasses.replace(
          best, epsilon=epsilon, guesses=guesses, correct=correct, scorer=name
        )
  return best
