"""The attacks that there are: a new one takes a function and a line. TensorFlow comes on first use.

An attack is a function (models, x, y, *, eps, ...) of `Objective`'s models, images in [0, 1] and
labels to adversarial images, or to those and the queries that each took. Which fields of an
`AttackSpec` it uses, and which options of its own it has, are its other arguments.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fedsafe_tff import lazy

# What an attacker gets to see of a model, each with what follows it.
ACCESS = ("gradients", "scores", "labels")
_GIVEN = ("models", "x", "y", "eps", "key", "targeted")  # by `craft`, not by options
SHARES = ("probability", "smallest", "share")  # options in (0, 1]
_FIELDS = ("steps", "step_size", "random_start", "restarts", "norm", "loss", "keep")


@dataclasses.dataclass(frozen=True)
class Attack:
  """An attack.

  Attributes:
    given: Its function, see above, or a `lazy.Member` that imports it.
    needs: What it must see of a model, one of `ACCESS`.
    iterates: Whether it takes steps, for flags, which are read without the import.
    followed: Whether `evaluation.worst_case` can follow it step by step.
    any_steps: Whether its `steps` may be a tensor, so that one graph serves every number of them.
  """

  given: Callable[..., Any]
  needs: str = "gradients"
  iterates: bool = True
  followed: bool = False
  any_steps: bool = False

  @functools.cached_property
  def function(self) -> Callable[..., Any]:
    """Its function."""
    return lazy.loaded(self.given)

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


ATTACKS: dict[str, Attack] = {
  "fgsm": Attack(lazy.Member("fedsafe_tff.attacks.fgsm", "fgsm"), iterates=False, followed=True),
  "pgd": Attack(lazy.Member("fedsafe_tff.attacks.pgd", "pgd"), followed=True, any_steps=True),
  "mi_fgsm": Attack(lazy.Member("fedsafe_tff.attacks.momentum", "mi_fgsm"), any_steps=True),
  "ni_fgsm": Attack(lazy.Member("fedsafe_tff.attacks.momentum", "ni_fgsm"), any_steps=True),
  "di_fgsm": Attack(lazy.Member("fedsafe_tff.attacks.momentum", "di_fgsm"), any_steps=True),
  "vmi_fgsm": Attack(lazy.Member("fedsafe_tff.attacks.momentum", "vmi_fgsm"), any_steps=True),
  "apgd": Attack(lazy.Member("fedsafe_tff.attacks.apgd", "apgd")),
  "square": Attack(lazy.Member("fedsafe_tff.attacks.square", "square"), needs="scores"),
}
