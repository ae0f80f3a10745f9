"""The attacks that there are: a new one takes a function and a line.

An attack is a function (models, x, y, *, eps, ...) of `Objective`'s models, images in [0, 1] and
labels to adversarial images, or to those and the queries that each took. Which fields of an
`AttackSpec` it uses, and which options of its own it has, are its other arguments.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fedsafe_tff.attacks.apgd import apgd
from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.momentum import di_fgsm, mi_fgsm, ni_fgsm, vmi_fgsm
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.attacks.square import square

# What an attacker gets to see of a model, each with what follows it.
ACCESS = ("gradients", "scores", "labels")
_GIVEN = ("models", "x", "y", "eps", "key", "targeted")  # by `craft`, not by options
_FIELDS = ("steps", "step_size", "random_start", "restarts", "norm", "loss", "keep")


@dataclasses.dataclass(frozen=True)
class Attack:
  """An attack.

  Attributes:
    function: See above.
    needs: What it must see of a model, one of `ACCESS`.
  """

  function: Callable[..., Any]
  needs: str = "gradients"

  @functools.cached_property
  def fields(self) -> frozenset[str]:
    """The fields of `AttackSpec` that it uses, besides those that all use."""
    return frozenset(_FIELDS) & self._parameters.keys()

  @functools.cached_property
  def options(self) -> Mapping[str, Any]:
    """Names and defaults of the options that it alone has."""
    return {
      name: parameter.default
      for name, parameter in self._parameters.items()
      if name not in _GIVEN + _FIELDS
    }

  @functools.cached_property
  def draws(self) -> bool:
    """Whether it draws, whatever its settings."""
    return self._parameters["key"].default is inspect.Parameter.empty

  @functools.cached_property
  def _parameters(self) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(self.function).parameters


ATTACKS = {
  "fgsm": Attack(fgsm),
  "pgd": Attack(pgd),
  "mi_fgsm": Attack(mi_fgsm),
  "ni_fgsm": Attack(ni_fgsm),
  "di_fgsm": Attack(di_fgsm),
  "vmi_fgsm": Attack(vmi_fgsm),
  "apgd": Attack(apgd),
  "square": Attack(square, needs="scores"),
}
