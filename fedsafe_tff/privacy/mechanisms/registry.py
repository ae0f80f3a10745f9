"""From the name of a mechanism to the mechanism; one line for each."""

from collections.abc import Callable
from typing import Any

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError

# Name to a function of `mechanism.PrivacySettings` that returns a `mechanism.Mechanism`.
MECHANISMS: dict[str, Callable[[Any], Any]] = {
  "paper": lazy.Member("fedsafe_tff.privacy.mechanisms.uplink", "paper"),
  "output": lazy.Member("fedsafe_tff.privacy.mechanisms.uplink", "output"),
  "dp_sgd": lazy.Member("fedsafe_tff.privacy.mechanisms.local", "dp_sgd"),
  "central": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "central"),
  "tree": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "tree"),
  "distributed": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "distributed"),
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
    raise UserError(f"privacy {name!r} is unknown: choose {lazy.listed(MECHANISMS)}")
  return MECHANISMS[name](settings)
