"""What is guaranteed, to whom, against whom: a value for `privacy.json` and the progress line."""

import dataclasses
import json
import math
from typing import Any

from fedsafe_tff.errors import UserError

LEVELS = {
  "record": "one image",
  "patient": "all images of a patient",
  "client": "all data of a client",
}
OBSERVERS = {
  "server": "the server, who sees every upload, and whoever sees anything later",
  "clients": "another client, who sees the global model of every round",
  "final": "someone who sees the final models only",
}
SAMPLING = {
  "none": "all take part in every release",
  "cohort": "a part of the clients, drawn in public, takes part in a round; counted as if all did",
  "poisson": "each joins each batch by a coin of its own",
  "shuffled": "epochs in a shuffled order; no amplification is claimed",
}
CLIPS = {
  "fixed": "to a norm that stays",
  "adaptive": "to a norm that follows a quantile; what it is told has noise, which is counted too",
}
SERVERS_IMAGES = "the server's own images"
_NOT_COVERED = (
  "numbers that clients report (loss, accuracy, norms, number of images)",
  SERVERS_IMAGES,
  "an observer who knows or guesses the seed of the noise, or who uses its rounding",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyStatement:
  """A guarantee, or that there is none.

  Attributes:
    mechanism: Name of the mechanism.
    level: Whose data are protected, of `LEVELS`.
    adjacency: "add_or_remove_one" or "replace_one".
    epsilon: Upper bound; infinite or None where nothing is guaranteed.
    delta: Of the guarantee.
    compositions: How many releases it covers.
    sampling: Of `SAMPLING`.
    sampling_rate: Of Poisson sampling; 1 otherwise.
    sampled_so: Whether the code draws batches as the accounting assumes.
    observer: Against whom, of `OBSERVERS`.
    by: Accountant: "exact", "PLD", "RDP" or "none".
    noise_multiplier: Noise over sensitivity, of a release.
    group: Images of a patient that are counted with, at level "patient".
    clip: "fixed", or "adaptive" where the clipping norm follows a quantile that has noise of its
      own, which epsilon counts.
    microbatch: Images that are clipped as one, in expectation.
    nominal_epsilon: What the paper's formula calls the same noise; None where it has none.
    not_covered: What it says nothing about.
    warnings: What a reader must know besides.

  Raises:
    UserError: A name that is unknown, or sampling that is claimed but not done.
  """

  mechanism: str
  level: str
  adjacency: str
  epsilon: float | None
  delta: float
  compositions: int
  sampling: str = "none"
  sampling_rate: float = 1.0
  sampled_so: bool = True
  observer: str = "server"
  by: str = "none"
  noise_multiplier: float = 0.0
  group: int = 1
  clip: str = "fixed"
  microbatch: int = 1
  nominal_epsilon: float | None = None
  not_covered: tuple[str, ...] = _NOT_COVERED
  warnings: tuple[str, ...] = ()

  def __post_init__(self):
    sets = {"level": LEVELS, "observer": OBSERVERS, "sampling": SAMPLING, "clip": CLIPS}
    for name, known in sets.items():
      value = getattr(self, name)
      if value not in known:
        raise UserError(f"{name} {value!r} of a privacy statement: choose {', '.join(known)}")
    if self.sampling_rate < 1.0 and not (self.sampling == "poisson" and self.sampled_so):
      raise UserError(
        "a sampling rate below 1 is accounted for, but batches are not drawn so: sample by Poisson "
        "or account at rate 1"
      )

  @property
  def guarantees(self) -> bool:
    """Whether there is a finite epsilon."""
    return self.epsilon is not None and math.isfinite(self.epsilon)

  def line(self) -> str:
    """For the progress line, such as `epsilon 3.21 (record, delta 1e-05, dp_sgd)`."""
    if not self.guarantees:
      return f"epsilon unbounded ({self.mechanism})"
    return f"epsilon {self.epsilon:.4g} ({self.level}, delta {self.delta:g}, {self.mechanism})"

  def sentences(self) -> list[str]:
    """For a reader."""
    if not self.guarantees:
      lines = [f"{self.mechanism}: no epsilon is guaranteed to anybody."]
    else:
      whom = LEVELS[self.level]
      if self.level == "patient":
        whom += f" (up to {self.group})"
      plural = "" if self.compositions == 1 else "s"
      adjacency = self.adjacency.replace("_", "-")
      lines = [
        f"{self.mechanism}: ({self.epsilon:.4g}, {self.delta:g})-DP for {whom}, {adjacency}, over "
        f"{self.compositions} release{plural}, against {OBSERVERS[self.observer]}.",
        f"Sampling: {SAMPLING[self.sampling]}"
        + (f", at rate {self.sampling_rate:.4g}" if self.sampling_rate < 1.0 else "")
        + f". Accounting: {self.by}.",
        *self._clipping(),
        f"Not covered: {'; '.join(self.not_covered)}.",
      ]
    if self.nominal_epsilon is not None:
      lines.append(
        "The paper's formula gives the same noise a nominal epsilon of "
        f"{self.nominal_epsilon:.4g}; its sensitivity 2C/m is not proved."
      )
    return lines + [f"Warning: {warning}" for warning in self.warnings]

  def _clipping(self) -> list[str]:
    if self.clip == "fixed" and self.microbatch == 1:
      return []
    units = f" as the mean of {self.microbatch} images, in expectation," * (self.microbatch > 1)
    return [f"Clipping:{units} {CLIPS[self.clip]}."]

  def to_json(self) -> dict[str, Any]:
    """For `privacy.json`; an infinite epsilon becomes null, which JSON has."""
    values = dataclasses.asdict(self)
    for name in ("epsilon", "nominal_epsilon", "noise_multiplier"):
      if values[name] is not None and not math.isfinite(values[name]):
        values[name] = None
    values["guarantees"] = self.guarantees
    return json.loads(json.dumps(values))

  @classmethod
  def from_json(cls, values: dict[str, Any]) -> "PrivacyStatement":
    """What `to_json` made.

    Raises:
      UserError: It is not that.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    try:
      known = {name: value for name, value in values.items() if name in names}
      for name in ("not_covered", "warnings"):
        known[name] = tuple(known.get(name, ()))
      return cls(**known)
    except (TypeError, AttributeError) as error:
      raise UserError(f"this is no privacy statement ({error})") from None


def delta_warning(delta: float, count: int, level: str = "record") -> str | None:
  """A warning where delta is larger than one over the number of units, or None.

  A mechanism that publishes one unit out of n at random has delta 1/n and protects nobody.
  """
  if delta * count <= 1.0:
    return None
  return (
    f"delta {delta:g} is larger than 1/n = {1 / count:.2g} with n = {count} {level}s: it would "
    "allow one of them to be published; take a smaller delta"
  )
