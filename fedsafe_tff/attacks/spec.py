"""What an attack is, as a value."""

import dataclasses

from fedsafe_tff.errors import UserError


@dataclasses.dataclass(frozen=True)
class AttackSpec:
  """An attack and its strength.

  Attributes:
    name: "fgsm" or "pgd".
    eps: Size of the perturbation, in pixels of [0, 1].
    steps: PGD steps.
    step_size: PGD step in pixels of [0, 1]; 0 means eps / steps.
    random_start: Whether PGD starts at a random point of the ball.
    restarts: PGD restarts; more than one needs a random start.
    labels: "true", or "predicted" for an adversary without labels.

  Raises:
    UserError: A value that is unknown or out of range.
  """

  name: str
  eps: float
  steps: int = 10
  step_size: float = 0.0
  random_start: bool = False
  restarts: int = 1
  labels: str = "true"

  def __post_init__(self):
    if self.name not in ("fgsm", "pgd"):
      raise UserError(f"attack {self.name!r} is unknown: choose fgsm or pgd")
    if self.labels not in ("true", "predicted"):
      raise UserError(f"attack labels {self.labels!r} are unknown: choose true or predicted")
    for field, low, high in (
      ("eps", 0, 1),
      ("step_size", 0, 1),
      ("steps", 1, None),
      ("restarts", 1, None),
    ):
      value = getattr(self, field)
      if not value >= low or (high is not None and value > high):
        limit = f"between {low} and {high}" if high is not None else f"at least {low}"
        raise UserError(f"the attack's {field} is {value}, but must be {limit}")
    if self.restarts > 1 and not self.random_start:
      raise UserError(
        f"the attack's {self.restarts} restarts would all be alike: set a random start too"
      )

  @property
  def effective_step_size(self) -> float:
    """The step alpha that is used."""
    return self.step_size or self.eps / self.steps
