"""The attackers that there are: a new one takes a class and a line."""

from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import (
  Averaging,
  Colluding,
  NoiseEnsemble,
  OwnCopy,
  RoundHistory,
)
from fedsafe_tff.attackers.makers import Imitation, LocalUpdate, Surrogate
from fedsafe_tff.attackers.worst import Worst

ATTACKERS: dict[str, type[Attacker]] = {
  attacker.name: attacker
  for attacker in (
    OwnCopy,
    LocalUpdate,
    NoiseEnsemble,
    Averaging,
    RoundHistory,
    Colluding,
    BlackBox,
    Surrogate,
    Imitation,
    Worst,
  )
}
