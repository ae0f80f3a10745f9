"""From the name of a mechanism to the mechanism; one line for each."""

from collections.abc import Callable

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings

# Name to a function of `PrivacySettings`.
MECHANISMS: dict[str, Callable[[PrivacySettings], Mechanism]] = {
  "paper": lazy.Member("fedsafe_tff.privacy.mechanisms.uplink", "paper"),
  "output": lazy.Member("fedsafe_tff.privacy.mechanisms.uplink", "output"),
  "dp_sgd": lazy.Member("fedsafe_tff.privacy.mechanisms.local", "dp_sgd"),
  "central": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "central"),
  "tree": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "tree"),
  "distributed": lazy.Member("fedsafe_tff.privacy.mechanisms.central", "distributed"),
}


def build_mechanism(name: str, settings: PrivacySettings) -> Mechanism:
  """Builds a mechanism, solved for its target.

  Raises:
    UserError: An unknown name, or settings that it can't meet.
  """
  if name not in MECHANISMS:
    raise UserError(f"privacy {name!r} is unknown: choose {', '.join(MECHANISMS)}")
  return MECHANISMS[name](settings)
