"""What a noise means, by every reading of it: the paper's, the provable ones, each mechanism's."""

import dataclasses
import math

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import calibration
from fedsafe_tff.privacy.accountant import Release, account
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.mechanisms.registry import MECHANISMS, build_mechanism
from fedsafe_tff.privacy.solving import calibrate


@dataclasses.dataclass(frozen=True)
class Reading:
  """One line of the answer.

  Attributes:
    name: What is read, and how.
    sigma: Standard deviation of the noise on each coordinate of what is released.
    noise_multiplier: It over the sensitivity that can be proved.
    nominal: Epsilon that a formula claims; None where none does.
    renyi: Epsilon by Renyi DP.
    epsilon: The best epsilon that is proved; infinite where none is.
    by: How it was found.
  """

  name: str
  sigma: float
  noise_multiplier: float
  nominal: float | None
  renyi: float
  epsilon: float
  by: str

  def cells(self) -> list[str]:
    """For a table."""
    return [
      self.name,
      *(_number(v) for v in (self.sigma, self.noise_multiplier, self.nominal, self.renyi)),
      _number(self.epsilon),
      self.by,
    ]


COLUMNS = ("reading", "sigma", "noise / sensitivity", "nominal eps", "RDP", "epsilon", "by")


def _number(value: float | None) -> str:
  if value is None:
    return "-"
  return "unbounded" if math.isinf(value) else f"{value:.4g}"


def gaussian_readings(epsilon: float, delta: float) -> list[Reading]:
  """One Gaussian release at sensitivity 1: the classical sigma and the analytic one."""
  analytic = calibrate(lambda z: [Release(z, 1)], epsilon, delta)
  classical = calibration.gaussian_constant(delta) / epsilon
  made = []
  for name, sigma in (("classical", classical), ("analytic", analytic)):
    releases = [Release(sigma, 1)]
    best, renyi = account(releases, delta), account(releases, delta, by="RDP")
    made.append(
      Reading(
        f"one Gaussian at sensitivity 1, {name}", sigma, sigma, epsilon, renyi.epsilon,
        best.epsilon, best.by,
      )
    )
  return made


def mechanism_reading(mechanism: Mechanism, name: str, sigma: float, rounds: int) -> Reading:
  """What a mechanism guarantees after so many rounds."""
  best = mechanism.account(rounds)
  renyi = math.inf
  if mechanism.accounted:
    renyi = account(
      mechanism.releases(rounds), mechanism.delta, group=mechanism.group, by="RDP"
    ).epsilon
  nominal = mechanism.nominal_epsilon(rounds) if mechanism.nominal_epsilon else None
  return Reading(
    name, sigma, mechanism.noise_multiplier, nominal, renyi, best.epsilon, best.by
  )


def solve(settings: PrivacySettings) -> tuple[dict[str, Mechanism], dict[str, str]]:
  """All mechanisms at the same settings, and why those that can't be had can't."""
  made, refused = {}, {}
  for name in MECHANISMS:
    try:
      made[name] = build_mechanism(name, settings)
    except UserError as error:
      refused[name] = str(error)
  return made, refused


def readings(settings: PrivacySettings) -> tuple[list[Reading], dict[str, Mechanism], list[str]]:
  """Every reading of the settings, the mechanisms, and remarks.

  Args:
    settings: With a target epsilon each mechanism is solved for it; with a noise multiplier each
      is read at that.
  """
  lines: list[Reading] = []
  if settings.target_epsilon is not None:
    lines += gaussian_readings(settings.target_epsilon, settings.delta)
  mechanisms, refused = solve(settings)
  rounds, clip = settings.rounds, settings.clip_norm
  for name, made in mechanisms.items():
    sigma = made.upload_sigma or made.noise_multiplier * clip
    title = {
      "paper": f"paper: uploads, {rounds} rounds",
      "output": f"output: uploads, {rounds} rounds",
      "dp_sgd": "dp_sgd: steps",
    }.get(name, f"{name}: {rounds} rounds")
    if name == "dp_sgd":
      steps = made.releases(rounds)[0].count
      title = f"dp_sgd: {steps} steps at rate {made.sampling_rate:.4g}, {made.level}"
    lines.append(mechanism_reading(made, title, sigma, rounds))
  if "dp_sgd" in mechanisms:
    lines += _other_readings(mechanisms["dp_sgd"], settings)
  remarks = [f"{name} can't be had: {why}" for name, why in refused.items()]
  for name, made in mechanisms.items():
    remarks += [f"{name}: {warning}" for warning in made.statement(rounds).warnings]
  return lines, mechanisms, remarks


def _other_readings(made: Mechanism, settings: PrivacySettings) -> list[Reading]:
  """The same DP-SGD read otherwise: no sampling, replacement, a patient's images."""
  z, sigma = made.noise_multiplier, made.noise_multiplier * settings.clip_norm
  releases = made.releases(settings.rounds)
  epochs = max(1, round(releases[0].count * made.sampling_rate))
  cases = [
    (f"the same, shuffled: {epochs} epochs, no amplification", [Release(z, epochs)], {}),
    ("the same, replace-one", releases, {"adjacency": "replace_one"}),
  ]
  if made.level == "record":
    group = max(2, settings.group)
    cases.append((f"the same, a patient with {group} images", releases, {"group": group}))
  lines = []
  for name, released, how in cases:
    best = account(released, settings.delta, **how)
    renyi = account(released, settings.delta, by="RDP", **how).epsilon
    lines.append(Reading(name, sigma, z, None, renyi, best.epsilon, best.by))
  return lines
