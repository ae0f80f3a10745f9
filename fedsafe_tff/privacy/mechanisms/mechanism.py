"""What every mechanism has: its part in training, and a statement of what it guarantees."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import Accounted, Release, account
from fedsafe_tff.privacy.statement import PrivacyStatement, delta_warning


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacySettings:
  """What is asked for.

  Attributes:
    delta: Of the guarantee.
    rounds: Number of rounds.
    clip_norm: Norm C: of the upload, of an example's gradient, or of a client's update.
    noise_multiplier: Noise over C on the sum (`output`: over 2C); None where `target_epsilon` is
      given. `paper` takes its noise from `target_epsilon` by the paper's formula.
    target_epsilon: Solves for the noise, for all rounds together.
    client_images: Number of images of each client.
    clients_per_round: How many clients take part in a round; 0 for all.
    level: "record", or "patient" for `dp_sgd`; the others have a level of their own.
    group: Images of a patient at most, at level "patient".
    batch_size: Expected examples in a batch of `dp_sgd`.
    local_steps: Batches that a client draws in a round of `dp_sgd`; 0 is an epoch in expectation.
    microbatch: Examples clipped as one by `dp_sgd`.
    adaptive_clip: Whether C follows a quantile: `dp_sgd`, `central`, `tree`.
    count_stddev: Noise on the number of unclipped examples of `dp_sgd` with `adaptive_clip`; 0 is
      a tenth of the batch.
    exposures: L of the paper's formula; 0 is the number of rounds.
    attack_eps: Perturbation of adversarial training under `dp_sgd`, in pixels of [0, 1].
    attack_steps: Its PGD steps; 0 trains on clean images.
    discrete: Noise of `distributed`: "skellam" or "gaussian".
    seed: Of the tree's noise; None draws one.
  """

  delta: float = 1e-5
  rounds: int = 1
  clip_norm: float = 1.0
  noise_multiplier: float | None = None
  target_epsilon: float | None = None
  client_images: tuple[int, ...] = ()
  clients_per_round: int = 0
  level: str = "record"
  group: int = 1
  batch_size: int = 32
  local_steps: int = 0
  microbatch: int = 1
  adaptive_clip: bool = False
  count_stddev: float = 0.0
  exposures: int = 0
  attack_eps: float = 0.0
  attack_steps: int = 0
  discrete: str = "skellam"
  seed: int | None = None

  def __post_init__(self):
    if (self.noise_multiplier is None) == (self.target_epsilon is None):
      raise UserError("give either a noise multiplier or a target epsilon")
    if not (self.clip_norm > 0 and math.isfinite(self.clip_norm)):
      raise UserError(f"the clipping norm is {self.clip_norm}, but must be finite and above 0")
    if self.rounds < 1 or not self.client_images or min(self.client_images) < 1:
      raise UserError("privacy needs at least one round and one client with one image")
    if not 0 < self.delta < 1:
      raise UserError(f"delta is {self.delta}, but must lie in (0, 1)")
    if not 0 <= self.clients_per_round <= len(self.client_images):
      raise UserError(
        f"{self.clients_per_round} clients a round can't be had of {len(self.client_images)}"
      )

  @property
  def clients(self) -> int:
    """Clients in a round."""
    return self.clients_per_round or len(self.client_images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mechanism:
  """A mechanism, solved.

  Attributes:
    name: As in the registry.
    level: Whose data are protected.
    adjacency: As it is stated.
    releases: What so many rounds give away, with noise over what a unit moves under `adjacency`.
    delta: Of the guarantee.
    observer: Against whom.
    noise_multiplier: Noise over that, of one release.
    sampling: See `PrivacyStatement`.
    sampling_rate: Likewise.
    group: Units of whom the guarantee is for.
    units: How many units there are, for the warning on delta.
    clip: See `PrivacyStatement`.
    microbatch: Likewise.
    upload_clip: Norm C of the upload; 0 for none.
    upload_sigma: Noise on every uploaded coordinate; 0 for none.
    gradient: Local gradient in the place of the plain one; None leaves it.
    make_aggregator: From the specs of the upload's tensors to a TFF aggregation factory; None
      leaves Eq. 4.
    nominal_epsilon: What the paper's formula says after so many rounds.
    warnings: What a reader must know besides.
    accounted: Whether an accounting backs it.
  """

  name: str
  level: str
  adjacency: str
  releases: Callable[[int], Sequence[Release]]
  delta: float
  observer: str
  noise_multiplier: float
  sampling: str = "none"
  sampling_rate: float = 1.0
  group: int = 1
  units: int = 0
  clip: str = "fixed"
  microbatch: int = 1
  upload_clip: float = 0.0
  upload_sigma: float = 0.0
  gradient: Any = None
  make_aggregator: Callable[[Any], Any] | None = None
  nominal_epsilon: Callable[[int], float] | None = None
  warnings: tuple[str, ...] = ()
  accounted: bool = True

  def account(self, rounds: int) -> Accounted:
    """Epsilon after so many rounds."""
    if not self.accounted:
      return Accounted(math.inf, "none")
    return account(self.releases(rounds), self.delta, group=self.group)

  def statement(self, rounds: int) -> PrivacyStatement:
    """What is guaranteed after so many rounds."""
    made = self.account(rounds)
    warnings = list(self.warnings)
    warning = delta_warning(self.delta, self.units, self.level) if self.units else None
    if warning:
      warnings.append(warning)
    return PrivacyStatement(
      mechanism=self.name,
      level=self.level,
      adjacency=self.adjacency,
      epsilon=made.epsilon,
      delta=self.delta,
      compositions=sum(release.count for release in self.releases(rounds)),
      sampling=self.sampling,
      sampling_rate=self.sampling_rate,
      observer=self.observer,
      by=made.by,
      noise_multiplier=self.noise_multiplier,
      group=self.group,
      clip=self.clip,
      microbatch=self.microbatch,
      nominal_epsilon=self.nominal_epsilon(rounds) if self.nominal_epsilon else None,
      warnings=tuple(warnings),
    )
