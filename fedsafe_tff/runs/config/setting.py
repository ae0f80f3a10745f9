"""A setting: a dataclass field that knows its help text, its range and when it has an effect."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from fedsafe_tff.errors import UserError

_METADATA = "fedsafe_setting"


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is known of a setting besides its type and default.

  Attributes:
    help: One sentence for `--help`.
    choices: The values allowed, or None.
    low: Smallest value allowed (each entry, for a list), or None.
    high: Largest value allowed, or None.
    low_open: Whether `low` itself is excluded.
    high_open: Whether `high` itself is excluded.
    applies: Says whether the setting has an effect under a given config; None means always.
    needs: What must hold for it to have an effect, in words, for the error message.
  """

  help: str
  choices: tuple[str, ...] | None = None
  low: float | None = None
  high: float | None = None
  low_open: bool = False
  high_open: bool = False
  applies: Callable[[Any], bool] | None = None
  needs: str = ""

  def check(self, name: str, value: Any) -> None:
    """Raises a UserError when `value` is outside the choices or the range."""
    if self.choices is not None and value not in self.choices:
      raise UserError(f"--{name}={value} is unknown: choose one of {', '.join(self.choices)}")
    for entry in value if isinstance(value, tuple) else (value,):
      if isinstance(entry, float) and not math.isfinite(entry):
        raise UserError(f"--{name}={entry} is not a finite number")
      below = self.low is not None and (entry < self.low or (self.low_open and entry == self.low))
      above = self.high is not None and (
        entry > self.high or (self.high_open and entry == self.high)
      )
      if below or above:
        raise UserError(f"--{name}={entry} is out of range: it must lie in {self.interval()}")

  def interval(self) -> str:
    """The range as an interval, such as `(0, 1]`."""
    left = "(-inf" if self.low is None else ("(" if self.low_open else "[") + _written(self.low)
    right = "inf)" if self.high is None else _written(self.high) + (")" if self.high_open else "]")
    return f"{left}, {right}"


def _written(limit: float) -> str:
  return str(limit) if isinstance(limit, int) else f"{limit:g}"  # seeds are too long for :g


def setting(default: Any, help_text: str, **details: Any) -> Any:
  """A dataclass field with a `Setting` attached; the default's type is the flag's type."""
  return dataclasses.field(default=default, metadata={_METADATA: Setting(help_text, **details)})


def setting_of(field: dataclasses.Field) -> Setting:
  """The `Setting` attached to a field that `setting` made."""
  return field.metadata[_METADATA]
