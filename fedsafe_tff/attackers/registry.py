"""The attackers that there are: a new one takes a class and a line."""

from fedsafe_tff import lazy
from fedsafe_tff.attackers.attacker import Attacker

_MEMBERS = (
  lazy.Member("fedsafe_tff.attackers.copies", "OwnCopy"),
  lazy.Member("fedsafe_tff.attackers.makers", "LocalUpdate"),
  lazy.Member("fedsafe_tff.attackers.copies", "NoiseEnsemble"),
  lazy.Member("fedsafe_tff.attackers.copies", "Averaging"),
  lazy.Member("fedsafe_tff.attackers.copies", "RoundHistory"),
  lazy.Member("fedsafe_tff.attackers.copies", "Colluding"),
  lazy.Member("fedsafe_tff.attackers.black_box", "BlackBox"),
  lazy.Member("fedsafe_tff.attackers.makers", "Surrogate"),
  lazy.Member("fedsafe_tff.attackers.makers", "Imitation"),
  lazy.Member("fedsafe_tff.attackers.worst", "Worst"),
)
# By the names that they have.
ATTACKERS: dict[str, type[Attacker]] = {cls.name: cls for cls in (m.load() for m in _MEMBERS)}
