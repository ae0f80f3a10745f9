"""What an attack is, as a value."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fedsafe_tff.attacks.climb import KEEP
from fedsafe_tff.attacks.loss import LOSSES
from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.errors import UserError

# An attack of the Adversarial Robustness Toolbox is named by this and the name of its class there.
ART = "art:"
TARGETS = ("", "given", "runner_up", "least_likely")
# FGSM has always passed over what only PGD uses; a run's flags set it for both.
_PASSED_OVER = {"fgsm": ("steps", "step_size", "random_start", "restarts")}


@dataclasses.dataclass(frozen=True, repr=False)
class AttackSpec:
  """An attack and its strength.

  Attributes:
    name: A name of `registry.ATTACKS`, or "art:" and an attack of the Adversarial Robustness
      Toolbox, as "art:DeepFool".
    eps: Size of the perturbation: in pixels of [0, 1], or the Euclidean length of the whole image's
      change in these for the norm "l2".
    steps: Steps of an iterated attack; the most queries of "square".
    step_size: Step, in the unit of eps; 0 means eps / steps.
    random_start: Whether the attack starts at a random point of the ball.
    restarts: How often; more than one needs a random start.
    labels: "true", or "predicted" for an adversary without labels.
    norm: "linf" or "l2".
    loss: "cross_entropy", "margin" or "dlr"; "" for the attack's own: the margin for "square",
      cross-entropy for the others.
    target: "" for an attack that is content with any wrong label. Otherwise the label to reach:
      "given" by the caller in the place of the labels, the model's "runner_up" beside the label, or
      the "least_likely" one.
    keep: "last", or "worst" for the worst point that an iterated attack came by.
    options: What the attack alone has, a mapping or pairs, kept as sorted pairs: see `registry`;
      arguments of the class for "art:".

  Raises:
    UserError: A value that is unknown, out of range or not used by this attack.
  """

  name: str
  eps: float
  steps: int = 10
  step_size: float = 0.0
  random_start: bool = False
  restarts: int = 1
  labels: str = "true"
  norm: str = "linf"
  loss: str = ""
  target: str = ""
  keep: str = "last"
  options: tuple[tuple[str, Any], ...] = ()

  def __post_init__(self):
    options = self.options.items() if isinstance(self.options, Mapping) else self.options
    object.__setattr__(self, "options", tuple(sorted((str(n), v) for n, v in options)))
    for option, value in self.options:
      if not _is_hashable(value):
        raise UserError(f"the attack's {option} is {value!r}: give a number, text or a tuple")
    if self.name not in ATTACKS and not (self.from_art and self.name != ART):
      raise UserError(
        f"attack {self.name!r} is unknown: choose {_listed(ATTACKS)}, or {ART}NAME for an attack "
        "of the Adversarial Robustness Toolbox"
      )
    for field, known in (
      ("labels", ("true", "predicted")),
      ("norm", NORMS),
      ("loss", ("", *LOSSES)),
      ("target", TARGETS),
      ("keep", KEEP),
    ):
      if getattr(self, field) not in known:
        raise UserError(
          f"attack {field} {getattr(self, field)!r} {'are' if field == 'labels' else 'is'} "
          f"unknown: choose {_listed(known)}"
        )
    largest = NORMS[self.norm].largest_radius
    for field, low, high in (
      ("eps", 0, largest),
      ("step_size", 0, largest),
      ("steps", 1, None),
      ("restarts", 1, None),
    ):
      value = getattr(self, field)
      if not value >= low or (high is not None and value > high) or value == float("inf"):
        limit = f"between {low} and {high:g}" if high is not None else f"at least {low}"
        raise UserError(f"the attack's {field} is {value}, but must be {limit}")
    if self.restarts > 1 and not self.random_start:
      raise UserError(
        f"the attack's {self.restarts} restarts would all be alike: set a random start too"
      )
    self._refuse_unused()

  def _refuse_unused(self) -> None:
    """What the attack does not use can't be asked of it."""
    if self.from_art:
      used = {"norm"}
      hint = f": {self.name} takes its settings as options, by the names of its arguments in ART"
    else:
      used = ATTACKS[self.name].fields
      hint = f": attack {self.name} has {_listed(sorted(used)) or 'none of these settings'}"
      for name, _ in self.options:
        if name not in ATTACKS[self.name].options:
          known = _listed(ATTACKS[self.name].options) or "no options"
          raise UserError(f"attack {self.name} has no option {name!r}: it has {known}")
    for field in dataclasses.fields(self):
      if field.name in ("name", "eps", "labels", "target", "options"):
        continue
      value = getattr(self, field.name)
      if field.name in used or value == field.default:
        continue
      if field.name not in _PASSED_OVER.get(self.name, ()):
        raise UserError(f"the attack's {field.name} is {value}, but would not be used{hint}")

  def __repr__(self) -> str:
    """Its fields; of those that came later only the ones that differ from their defaults.

    So that what is stored under a spec's text is found again.
    """
    fields = dataclasses.fields(self)
    shown = [f for i, f in enumerate(fields) if i < 7 or getattr(self, f.name) != f.default]
    return f"AttackSpec({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

  @property
  def from_art(self) -> bool:
    """Whether the attack is one of the Adversarial Robustness Toolbox."""
    return self.name.startswith(ART)

  @property
  def remark(self) -> str:
    """What a reader of the attack's results must know of their size; "" for the usual."""
    if not self.from_art:
      return ""
    if dict(self.options).get("project", True):
      return f"projected into the {self.norm} ball of eps"
    return "as the attack returned them, whatever their size"

  @property
  def effective_step_size(self) -> float:
    """The step alpha that is used."""
    return self.step_size or self.eps / self.steps

  @property
  def draws(self) -> bool:
    """Whether the attack draws random numbers, so that two keys give two results."""
    return self.from_art or self.random_start or ATTACKS[self.name].draws

  def arguments(self) -> dict[str, Any]:
    """Keyword arguments of the attack's function, less eps and step size, its options included.

    Not for "art:" attacks.
    """
    attack = ATTACKS[self.name]
    values = {name: getattr(self, name) for name in attack.fields if name != "step_size"}
    if not self.loss:
      values.pop("loss", None)
    return values | {"targeted": bool(self.target)} | dict(self.options)


def _is_hashable(value: Any) -> bool:
  # A tuple of lists has a hash method, and no hash.
  try:
    hash(value)
  except TypeError:
    return False
  return True


def _listed(names) -> str:
  names = [repr(name) if not name else str(name) for name in names]
  return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
