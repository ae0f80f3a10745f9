"""From the name of a mechanism to the mechanism; one line for each.

Flags ask for the names: the mechanisms, and the accounting below them, are imported on first use.
"""

from collections.abc import Callable
from typing import Any

from fedsafe_tff.errors import UserError


def _uplink() -> Any:
  from fedsafe_tff.privacy.mechanisms import uplink

  return uplink


def _local() -> Any:
  from fedsafe_tff.privacy.mechanisms import local

  return local


def _central() -> Any:
  from fedsafe_tff.privacy.mechanisms import central

  return central


# Name to a function of `mechanism.PrivacySettings` that returns a `mechanism.Mechanism`.
MECHANISMS: dict[str, Callable[[Any], Any]] = {
  "paper": lambda settings: _uplink().paper(settings),
  "output": lambda settings: _uplink().output(settings),
  "dp_sgd": lambda settings: _local().dp_sgd(settings),
  "central": lambda settings: _central().central(settings),
  "tree": lambda settings: _central().tree(settings),
  "distributed": lambda settings: _central().distributed(settings),
}


def build_mechanism(name: str, settings: Any) -> Any:
  """Builds a mechanism, solved for its target.

  Args:
    name: Key of `MECHANISMS`.
    settings: `mechanism.PrivacySettings`.

  Returns:
    The `mechanism.Mechanism`.

  Raises:
    UserError: An unknown name, or settings that it can't meet.
  """
  if name not in MECHANISMS:
    raise UserError(f"privacy {name!r} is unknown: choose {', '.join(MECHANISMS)}")
  return MECHANISMS[name](settings)
