"""Epsilon of many releases together, by `dp-accounting`: PLD where it can, RDP else.

A release is Gaussian noise on a sum that one unit (a record, a patient, a client) moves by at most
its sensitivity. What a step of any mechanism here gives away comes down to that, so that several
mechanisms compose by listing their releases.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import dp_accounting
from dp_accounting import pld, rdp
from scipy import optimize

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accounting import gaussian_epsilon

ADJACENCIES = ("add_or_remove_one", "replace_one")
# Beyond it, distributions of the privacy loss take minutes, and nothing is private any more.
_PLD_UP_TO = 1000.0
# Points over the range of the loss: coarser ones are pessimistic, never wrong.
_PLD_POINTS = 1e4
_ORDERS = tuple(1.0 + 10.0 ** (-i / 8) for i in range(8, 33)) + tuple(
  rdp.rdp_privacy_accountant.DEFAULT_RDP_ORDERS
)


@dataclasses.dataclass(frozen=True)
class Release:
  """Some releases of one kind.

  Attributes:
    noise_multiplier: Noise over what a unit moves the sum by when it is added or removed.
    count: How many.
    sampling_rate: Probability with which each unit takes part in each (Poisson); 1 for all.
    gaussian: Whether it is a Gaussian mechanism; if not, only that its Renyi divergences are those
      of one at most (zero-concentrated DP) is used.

  Raises:
    UserError: A value is out of range.
  """

  noise_multiplier: float
  count: int
  sampling_rate: float = 1.0
  gaussian: bool = True

  def __post_init__(self):
    if not self.noise_multiplier >= 0:
      raise UserError(f"the noise multiplier is {self.noise_multiplier}, but must be at least 0")
    if self.count < 0:
      raise UserError(f"the number of releases is {self.count}, but must be 0 or more")
    if not 0.0 < self.sampling_rate <= 1.0:
      raise UserError(f"the sampling rate is {self.sampling_rate}, but must lie in (0, 1]")


@dataclasses.dataclass(frozen=True)
class Accounted:
  """An epsilon and how it was found.

  Attributes:
    epsilon: Upper bound; infinite where nothing is guaranteed.
    by: "exact" (one Gaussian's formula), "PLD" or "RDP".
  """

  epsilon: float
  by: str


def joint_multiplier(*noise_multipliers: float) -> float:
  """Noise multiplier of one Gaussian that tells as much as several on the same units at once."""
  if not all(z > 0 for z in noise_multipliers):
    return 0.0
  return math.hypot(*(1.0 / z for z in noise_multipliers)) ** -1


def account(
  releases: Sequence[Release],
  delta: float,
  *,
  adjacency: str = "add_or_remove_one",
  group: int = 1,
) -> Accounted:
  """Epsilon of releases that build on each other, for a unit or for a group of units.

  Without sampling, a group of k moves a sum by k times as much and a replacement by twice as much:
  exact. With sampling at rate q, some of a group join with probability 1 - (1 - q)^k and then move
  it by k times as much at most; the hockey-stick divergence is convex in what a mixture mixes and
  grows with the distance of Gaussians, so that the Gaussian of noise z / k at that rate is at least
  as revealing. A replacement under sampling is taken as a removal and an addition, which costs
  (2 epsilon, (1 + e^epsilon) delta).

  Args:
    releases: What is given away, of all mechanisms.
    delta: Of the guarantee.
    adjacency: Of `ADJACENCIES`.
    group: How many units belong to whom the guarantee is for, such as the images of a patient.

  Raises:
    UserError: A value is out of range.
  """
  if not 0.0 < delta < 1.0:
    raise UserError(f"delta is {delta}, but must lie in (0, 1)")
  if adjacency not in ADJACENCIES:
    raise UserError(f"adjacency {adjacency!r} is unknown: choose {' or '.join(ADJACENCIES)}")
  if group < 1:
    raise UserError(f"a group has {group} units, but must have at least 1")
  replaced = adjacency == "replace_one"
  sampled = any(r.sampling_rate < 1.0 and r.count for r in releases)
  factor = group * (2 if replaced and not sampled else 1)
  scaled = _merged(
    dataclasses.replace(
      r,
      noise_multiplier=r.noise_multiplier / factor,
      sampling_rate=1.0 - (1.0 - r.sampling_rate) ** group,
    )
    for r in releases
    if r.count
  )
  if not (replaced and sampled):
    return _account(scaled, delta)
  return _twice(scaled, delta)


def _merged(releases) -> tuple[Release, ...]:
  """Releases without sampling become one, of the noise that tells as much as all."""
  kept, whole = [], {True: [], False: []}
  for release in releases:
    if release.sampling_rate < 1.0 and not math.isinf(release.noise_multiplier):
      kept.append(release)
    elif not math.isinf(release.noise_multiplier):
      whole[release.gaussian].append(release.noise_multiplier / math.sqrt(release.count))
  for gaussian, multipliers in whole.items():
    if multipliers:
      kept.append(Release(joint_multiplier(*multipliers), 1, 1.0, gaussian))
  return tuple(sorted(kept, key=dataclasses.astuple))


def _event(release: Release) -> dp_accounting.DpEvent:
  event = dp_accounting.GaussianDpEvent(release.noise_multiplier)
  if release.sampling_rate < 1.0:
    event = dp_accounting.PoissonSampledDpEvent(release.sampling_rate, event)
  return dp_accounting.SelfComposedDpEvent(event, release.count)


@functools.lru_cache(maxsize=4096)
def _account(releases: tuple[Release, ...], delta: float) -> Accounted:
  if not releases:
    return Accounted(0.0, "exact")
  if any(r.noise_multiplier**2 == 0 for r in releases):
    return Accounted(math.inf, "exact")
  if len(releases) == 1 and releases[0].sampling_rate == 1.0 and releases[0].gaussian:
    return Accounted(gaussian_epsilon(releases[0].noise_multiplier, 1, delta), "exact")
  bound = float(_renyi(releases).get_epsilon(delta))
  if bound > _PLD_UP_TO or not all(r.gaussian for r in releases):
    return Accounted(bound, "RDP")
  exact = float(_pld(releases).get_epsilon(delta))
  return Accounted(exact, "PLD") if exact <= bound else Accounted(bound, "RDP")


@functools.lru_cache(maxsize=256)
def _renyi(releases: tuple[Release, ...]) -> rdp.RdpAccountant:
  accountant = rdp.RdpAccountant(orders=_ORDERS)
  for release in releases:
    accountant.compose(_event(release))
  return accountant


@functools.lru_cache(maxsize=64)
def _pld(releases: tuple[Release, ...]) -> pld.PLDAccountant:
  rough = float(_renyi(releases).get_epsilon(1e-6))
  interval = max(1e-4, rough / _PLD_POINTS)
  accountant = pld.PLDAccountant(value_discretization_interval=interval)
  for release in releases:
    accountant.compose(_event(release))
  return accountant


def _twice(releases: tuple[Release, ...], delta: float) -> Accounted:
  """A removal and an addition, one after the other."""
  best = Accounted(math.inf, "exact")
  for share in (0.4, 0.2, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-9):
    once = _account(releases, delta * share)
    if once.epsilon < 700 and (1.0 + math.exp(once.epsilon)) * share <= 1.0:
      if 2 * once.epsilon < best.epsilon:
        best = Accounted(2 * once.epsilon, once.by)
  return best


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

  @functools.cache
  def excess(log_noise: float) -> float:
    made = account(make_releases(math.exp(log_noise)), delta, **settings)
    return min(made.epsilon, 1e12) - target_epsilon

  high, low = 0.0, 0.0
  while excess(high) > 0:
    low, high = high, high + 1.0
    if high > 30.0:
      least = excess(high) + target_epsilon
      raise UserError(
        f"no noise gives epsilon {target_epsilon:g} at delta {delta:g}: what else is released "
        f"already costs {least:.4g}; ask for more, or release less"
      )
  if low == high:
    while excess(low) <= 0:
      high, low = low, low - 1.0
      if low < -30.0:
        return math.exp(high)
  root = optimize.brentq(excess, low, high, xtol=1e-5, rtol=1e-9)
  while excess(root) > 0:  # by rounding, or by the grid of a PLD
    root += 1e-5
  return math.exp(root)


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


def dp_sgd_releases(
  *,
  noise_multiplier: float,
  steps: int,
  sampling_rate: float = 1.0,
  microbatch: int = 1,
  count_multiplier: float = math.inf,
) -> list[Release]:
  """What so many steps of DP-SGD release.

  Args:
    noise_multiplier: z of `dp_sgd.gradient.DpSgd`.
    steps: Local steps in all rounds in which a unit takes part with probability `sampling_rate`.
      With shuffled epochs in the place of Poisson sampling a record is in one batch an epoch: give
      the number of epochs and a rate of 1, for shuffling amplifies nothing here.
    sampling_rate: Of Poisson sampling.
    microbatch: Units clipped as one: one more or less then changes a clipped mean by up to 2C.
    count_multiplier: `AdaptiveClip.noise_multiplier`; infinite without adaptive clipping.
  """
  z = noise_multiplier / (2.0 if microbatch > 1 else 1.0)
  if not math.isinf(count_multiplier):
    z = joint_multiplier(z, count_multiplier)
  return [Release(z, steps, sampling_rate)]
