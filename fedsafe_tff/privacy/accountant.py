"""Epsilon of many releases together, by `dp-accounting`: PLD where it can, RDP else.

A release is Gaussian noise on a sum that one unit (a record, a patient, a client) moves by at most
its sensitivity. What a step of any mechanism here gives away comes down to that, so that several
mechanisms compose by listing their releases.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import dp_accounting
import numpy as np
from dp_accounting import rdp
from dp_accounting.pld import privacy_loss_distribution

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accounting import gaussian_epsilon

ADJACENCIES = ("add_or_remove_one", "replace_one")
# Beyond it, distributions of the privacy loss take minutes, and nothing is private any more.
_PLD_UP_TO = 1000.0
# Points over the range of the loss: coarser ones are pessimistic, never wrong.
_PLD_POINTS = 1e4
# Enough to know roughly; under sampling, whole orders take a fifth of the time of the others.
_FEW_ORDERS = (1.1, 1.25, 1.5, 1.75, *range(2, 64), 80, 96, 128, 256, 512)
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
  by: str = "best",
) -> Accounted:
  """Epsilon of releases that build on each other, for a unit or for a group of units.

  Without sampling, a group of k moves a sum by k times as much and a replacement by twice as much:
  exact, and a bound with sampling too. With sampling at rate q there are two more, and the lowest
  is taken. (a) Some of a group join with probability 1 - (1 - q)^k and then move the sum by k
  times as much at most; the hockey-stick divergence is convex in what a mixture mixes and grows
  with the distance of Gaussians, so that the Gaussian of noise z / k at that rate is at least as
  revealing. (b) One after the other, k units are (k epsilon, delta (e^(k epsilon) - 1) /
  (e^epsilon - 1))-DP. A replacement under sampling is a removal and an addition, two units by (b).

  Args:
    releases: What is given away, of all mechanisms.
    delta: Of the guarantee.
    adjacency: Of `ADJACENCIES`.
    group: How many units belong to whom the guarantee is for, such as the images of a patient.
    by: "best", or "RDP" for Renyi DP alone, or "rough" for that at few orders; each is a bound.

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
  sides = 2 if replaced else 1
  if not sampled:
    return _account(_scaled(releases, group * sides), delta, by)
  bounds = [_chain(_scaled(releases, group), delta, by, sides)]
  if group * sides > 1:
    whole = [dataclasses.replace(r, sampling_rate=1.0) for r in releases]
    bounds.append(_account(_scaled(whole, group * sides), delta, by))
  if group > 1:
    bounds.append(_chain(_scaled(releases, 1), delta, by, group * sides))
  return min(bounds, key=lambda made: made.epsilon)


def _scaled(releases: Sequence[Release], group: int) -> tuple[Release, ...]:
  """Releases as the group has them that joins together."""
  return _merged(
    dataclasses.replace(
      r,
      noise_multiplier=r.noise_multiplier / group,
      sampling_rate=1.0 - (1.0 - r.sampling_rate) ** group,
    )
    for r in releases
    if r.count
  )


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
  """One of them."""
  event = dp_accounting.GaussianDpEvent(release.noise_multiplier)
  if release.sampling_rate < 1.0:
    event = dp_accounting.PoissonSampledDpEvent(release.sampling_rate, event)
  return event


@functools.lru_cache(maxsize=4096)
def _account(releases: tuple[Release, ...], delta: float, by: str) -> Accounted:
  if not releases:
    return Accounted(0.0, "exact")
  if any(r.noise_multiplier**2 == 0 for r in releases):
    return Accounted(math.inf, "exact")
  one = len(releases) == 1 and releases[0].sampling_rate == 1.0 and releases[0].gaussian
  if one and by != "RDP":
    return Accounted(gaussian_epsilon(releases[0].noise_multiplier, 1, delta), "exact")
  rough = _renyi(releases, _FEW_ORDERS, delta)
  if by == "rough":
    return Accounted(rough, "RDP")
  if by == "RDP" or rough > _PLD_UP_TO or not all(r.gaussian for r in releases):
    return Accounted(_renyi(releases, _ORDERS, delta), "RDP")
  exact = float(_pld(releases).get_epsilon_for_delta(delta))
  return Accounted(exact, "PLD") if exact <= rough else Accounted(rough, "RDP")


@functools.lru_cache(maxsize=256)
def _one_renyi(event: dp_accounting.DpEvent, orders: tuple[float, ...]) -> np.ndarray:
  """Renyi divergences of one release: those of many are so many times as large."""
  accountant = rdp.RdpAccountant(orders=orders)
  accountant.compose(event)
  return accountant._rdp  # all that it has learnt, which it hands out in no other way


def _renyi(releases: tuple[Release, ...], orders: tuple[float, ...], delta: float) -> float:
  """Epsilon by Renyi DP."""
  total = sum(r.count * _one_renyi(_event(r), orders) for r in releases)
  return float(rdp.rdp_privacy_accountant.compute_epsilon(orders, total, delta)[0])


@functools.lru_cache(maxsize=64)
def _one_pld(
  noise_multiplier: float, sampling_rate: float, interval: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
  """Distribution of the privacy loss of one release, which takes longer than to compose many."""
  return privacy_loss_distribution.from_gaussian_mechanism(
    standard_deviation=noise_multiplier,
    value_discretization_interval=interval,
    sampling_prob=sampling_rate,
  )


@functools.lru_cache(maxsize=64)
def _pld(releases: tuple[Release, ...]) -> privacy_loss_distribution.PrivacyLossDistribution:
  """Distribution of the privacy loss of all releases.

  What one release has is remembered from round to round; for that the points lie on one of a few
  grids, the next finer one.
  """
  rough = _renyi(releases, _FEW_ORDERS, 1e-6)
  interval = max(1e-4, rough / _PLD_POINTS)
  interval = 1e-4 * 2.0 ** (math.floor(8 * math.log2(interval / 1e-4) + 1e-9) / 8)
  total = privacy_loss_distribution.identity(value_discretization_interval=interval)
  for release in releases:
    if release.sampling_rate < 1.0:
      one = _one_pld(release.noise_multiplier, release.sampling_rate, interval)
      total = total.compose(one.self_compose(release.count))
    else:  # so many are one of less noise
      together = release.noise_multiplier / math.sqrt(release.count)
      total = total.compose(_one_pld(together, 1.0, interval))
  return total


def _chain(releases: tuple[Release, ...], delta: float, by: str, length: int) -> Accounted:
  """Epsilon of so many units, one after the other."""
  if length == 1:
    return _account(releases, delta, by)
  best = Accounted(math.inf, "none")
  for tenths in range(1, 160):  # which delta of one unit is best is not known before
    once = _account(releases, delta * 10.0 ** (-tenths / 4), by)
    if once.epsilon * length >= best.epsilon:
      break  # a smaller delta only makes it grow
    grown = length
    if once.epsilon > 0:
      log_grown = once.epsilon * length
      log_grown += math.log(-math.expm1(-log_grown)) - _log_expm1(once.epsilon)
      grown = math.exp(min(log_grown, 700.0))
    if grown * 10.0 ** (-tenths / 4) <= 1.0:
      best = Accounted(once.epsilon * length, once.by)
  return best


def _log_expm1(x: float) -> float:
  return x + math.log(-math.expm1(-x))


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
    microbatch: Units clipped as one: one more or less then changes a clipped mean by up to 2C, and
      turns a unit that was counted as unclipped into one that is not, or the other way.
    count_multiplier: `AdaptiveClip.noise_multiplier`; infinite without adaptive clipping.
  """
  twice = 2.0 if microbatch > 1 else 1.0
  z = noise_multiplier / twice
  if not math.isinf(count_multiplier):
    z = joint_multiplier(z, count_multiplier / twice)
  return [Release(z, steps, sampling_rate)]
