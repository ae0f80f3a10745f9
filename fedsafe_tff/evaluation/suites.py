"""Suites: which attacks a model is put through under which attackers, as data.

A trial is an attack under an attacker, for any size. What each attacker gets is the worst of its
trials image by image, and so is what all of them get together.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attacks.spec import AttackSpec

# What attackers hold. 1: who averages copies had further ones that were noised, whatever way the
# server made the first; 2: made as the server makes them.
VERSION = 2
_OF_STEP = {"pgd": 1, "mi_fgsm": 1, "ni_fgsm": 1, "di_fgsm": 1, "apgd": 1, "square": 1 / 3}


@dataclasses.dataclass(frozen=True)
class Trial:
  """An attack under an attacker.

  Attributes:
    attack: What it is called in tables.
    settings: Fields of `AttackSpec` less eps and step_size.
    attacker: The attacker's name in tables, a key of those that a run has; a black box is shown
      nothing but scores.
    step: Step in shares of eps; 0 leaves it to the attack.
    sizes: Sizes of its own, in the unit of its norm; none for those that are asked for.
  """

  attack: str
  settings: Mapping[str, Any]
  attacker: str = "own_copy"
  step: float = 0.0
  sizes: tuple[float, ...] = ()

  @property
  def loss(self) -> str:
    """What it climbs."""
    return self.settings.get("loss", "cross_entropy")

  @property
  def kind(self) -> tuple:
    """Equal for trials that differ in their loss alone."""
    settings = {name: value for name, value in self.settings.items() if name != "loss"}
    return self.attacker, self.step, repr(sorted(settings.items()))

  def spec(self, eps: float, labels: str = "true") -> AttackSpec:
    """The attack at a size.

    Args:
      eps: Size, in the unit of the attack's norm.
      labels: "true", or "predicted" for an adversary without labels.

    Raises:
      UserError: A size out of range.
    """
    return AttackSpec(**self.settings, eps=eps, step_size=self.step * eps, labels=labels)


@dataclasses.dataclass(frozen=True)
class Suite:
  """Trials under one name.

  Attributes:
    name: Of `SUITES`.
    trials: What is run.
    images: How many images it attacks at most; 0 for all. What is left out is said with the result.
  """

  name: str
  trials: tuple[Trial, ...]
  images: int = 0

  @property
  def attackers(self) -> tuple[str, ...]:
    """Names of its attackers, in order."""
    return tuple(dict.fromkeys(trial.attacker for trial in self.trials))

  def possible(self, attackers: Sequence[str] | Mapping[str, Attacker]) -> tuple[Trial, ...]:
    """The trials of attackers that there are."""
    return tuple(trial for trial in self.trials if trial.attacker in attackers)

  def of_classes(self, num_classes: int, ensembles: Collection[str] = ()) -> "Suite":
    """The suite without trials that do the same as another one of it.

    Cross-entropy of two classes is an increasing function of the margin, and DLR is the margin: the
    gradients through one model point the same way, and all steps here depend on that alone. Where
    cross-entropy goes flat in float32 it is the margin that still climbs, so that this one stays.

    Args:
      num_classes: Of the task.
      ensembles: Attackers who climb the mean loss of several models, where the losses differ.
    """
    if num_classes != 2:
      return self
    kinds = {trial.kind for trial in self.trials if trial.loss != "cross_entropy"}
    kept = tuple(
      trial
      for trial in self.trials
      if trial.loss != "cross_entropy" or trial.attacker in ensembles or trial.kind not in kinds
    )
    return dataclasses.replace(self, trials=kept)


def gradients(spec: AttackSpec) -> float:
  """About how many gradients of one model an attack takes for an image: for the time left."""
  each = _OF_STEP.get(spec.name, 1.0)
  if spec.name == "vmi_fgsm":
    each = 1.0 + dict(spec.options).get("samples", 20)
  return each * (1 if spec.name == "fgsm" else spec.steps) * spec.restarts


def _pgd(step: float, loss: str, attacker: str = "own_copy") -> Trial:
  short = {"cross_entropy": "ce", "margin": "margin"}[loss]
  return Trial(
    f"pgd20 {short} eps/{1 / step:g}",
    {"name": "pgd", "steps": 20, "random_start": True, "loss": loss, "keep": "worst"},
    attacker,
    step,
  )


def _momentum(name: str, attacker: str = "own_copy", loss: str = "cross_entropy", **more) -> Trial:
  settings = {"name": f"{name}_fgsm", "steps": 20, "loss": loss} | more
  text = f"{name}{settings['steps']}{' margin' if loss == 'margin' else ''}"
  return Trial(text, settings, attacker, 1 / 8)


_LOSSES = ("cross_entropy", "margin")
_STANDARD = tuple(_pgd(step, loss) for step in (1 / 8, 1 / 4) for loss in _LOSSES)
_VMI = {"steps": 10, "options": {"samples": 5}}

_STRONG = (
  *_STANDARD,
  Trial(
    "pgd50 margin, 3 restarts",
    {
      "name": "pgd", "steps": 50, "random_start": True, "restarts": 3, "loss": "margin",
      "keep": "worst",
    },
    step=1 / 8,
  ),
  Trial("apgd50 ce", {"name": "apgd", "steps": 50}),
  Trial("apgd50 dlr", {"name": "apgd", "steps": 50, "loss": "dlr"}),
  _momentum("mi"),
  _momentum("ni"),
  _momentum("di"),
  _momentum("vmi", **_VMI),
  _momentum("mi", "noise_ensemble"),
  _momentum("mi", "noise_ensemble", "margin"),
  _momentum("mi", "averaging"),
  _pgd(1 / 8, "margin", "averaging"),
  _momentum("mi", "round_history"),
  _momentum("mi", "colluding_mean"),
  _pgd(1 / 8, "margin", "colluding_mean"),
  _momentum("mi", "colluding_ensemble"),
  _momentum("mi", "local_update"),
  _pgd(1 / 8, "margin", "local_update"),
  _momentum("mi", "surrogate"),
  _momentum("di", "surrogate"),
  _momentum("mi", "imitation"),
  Trial("square 500", {"name": "square", "steps": 500}, "black_box"),
)  # fmt: skip

SUITES: dict[str, Suite] = {
  suite.name: suite
  for suite in (
    Suite("standard", _STANDARD),
    Suite("strong", _STRONG, images=100),
  )
}
