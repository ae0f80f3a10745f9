"""The other way round: the noise, or the number of rounds, that an epsilon allows."""

import math
from collections.abc import Callable, Sequence

from scipy import optimize

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import Release, account

_MOST_LOG_NOISE = 30.0


def calibrate(
  make_releases: Callable[[float], Sequence[Release]],
  target_epsilon: float,
  delta: float,
  **settings,
) -> float:
  """The least noise multiplier whose releases stay within a target.

  Args:
    make_releases: From a noise multiplier to all releases; those of other mechanisms too.
    target_epsilon: Not exceeded by what is returned.
    delta: Of the guarantee.
    **settings: `adjacency` and `group`, as in `account`.

  Returns:
    It, to a relative 1e-5.

  Raises:
    UserError: No noise reaches the target, or a value is out of range.
  """
  if not (target_epsilon > 0 and math.isfinite(target_epsilon)):
    raise UserError(f"the target epsilon is {target_epsilon}, but must be a finite number above 0")

  def excess(log_noise: float, by: str = "best") -> float:
    made = account(make_releases(math.exp(log_noise)), delta, by=by, **settings)
    return min(made.epsilon, 1e12) - target_epsilon

  # Renyi DP finds the neighbourhood from above, where a PLD would take long.
  high = _rough(lambda log_noise: excess(log_noise, "rough"))
  if high is None:
    least = excess(_MOST_LOG_NOISE) + target_epsilon
    raise UserError(
      f"no noise gives epsilon {target_epsilon:g} at delta {delta:g}: what else is released "
      f"already costs {least:.4g}; ask for more, or release less"
    )
  step, low = 0.1, high - 0.1
  while excess(low) <= 0:
    if low < -_MOST_LOG_NOISE:
      return math.exp(low)
    high, step = low, 2.0 * step
    low = high - step
  root = optimize.brentq(excess, low, high, xtol=1e-5, rtol=1e-9)
  while excess(root) > 0:  # by rounding, or by the grid of a PLD
    root += 1e-5
  return math.exp(root)


def _rough(excess: Callable[[float], float]) -> float | None:
  """A log noise that is enough, to 0.01 of the least where it can; None where none is."""
  high = 0.0
  while excess(high) > 0:
    high += 1.0
    if high > _MOST_LOG_NOISE:
      return None
  low = high - 1.0
  while excess(low) <= 0 and low > -_MOST_LOG_NOISE:
    low, high = low - 1.0, low
  while high - low > 0.01:
    middle = (low + high) / 2.0
    low, high = (low, middle) if excess(middle) <= 0 else (middle, high)
  return high


def affordable(
  make_releases: Callable[[int], Sequence[Release]],
  target_epsilon: float,
  delta: float,
  *,
  most: int,
  **settings,
) -> int:
  """How many rounds stay within a target, `most` at most.

  Args:
    make_releases: From a number of rounds to all releases.
    target_epsilon: Not exceeded.
    delta: Of the guarantee.
    most: Where to stop looking.
    **settings: `adjacency` and `group`, as in `account`.
  """
  low, high = 0, most + 1  # `low` is within the target, `high` is not asked for or is not
  while high - low > 1:
    middle = (low + high) // 2
    if account(make_releases(middle), delta, **settings).epsilon <= target_epsilon:
      low = middle
    else:
      high = middle
  return low
