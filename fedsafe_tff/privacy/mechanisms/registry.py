"""From the name of a mechanism to the mechanism; one line for each."""

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.mechanisms.central import central, distributed, tree
from fedsafe_tff.privacy.mechanisms.local import dp_sgd
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.mechanisms.uplink import output, paper

MECHANISMS = {
  "paper": paper,
  "output": output,
  "dp_sgd": dp_sgd,
  "central": central,
  "tree": tree,
  "distributed": distributed,
}


def build_mechanism(name: str, settings: PrivacySettings) -> Mechanism:
  """Builds a mechanism, solved for its target.

  Raises:
    UserError: An unknown name, or settings that it can't meet.
  """
  if name not in MECHANISMS:
    raise UserError(f"privacy {name!r} is unknown: choose {', '.join(MECHANISMS)}")
  return MECHANISMS[name](settings)
