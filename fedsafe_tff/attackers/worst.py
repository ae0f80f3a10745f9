"""The best that several attackers do, image by image."""

import dataclasses
from typing import ClassVar

from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.errors import UserError


@dataclasses.dataclass(frozen=True)
class Worst(Attacker):
  """An image is lost if any of the attackers gets it; they don't pool what they hold.

  Others are those who are others to every one of the attackers.

  Attributes:
    attackers: Who attacks, one at least.
  """

  attackers: tuple[Attacker, ...]

  name: ClassVar[str] = "worst"

  def __post_init__(self):
    object.__setattr__(self, "attackers", tuple(self.attackers))
    if not self.attackers:
      raise UserError("the worst of no attackers is none: name one at least")

  def holdings(self, client, copies, key) -> list[Holding]:
    """Has none of its own: whoever evaluates it asks its attackers one by one."""
    raise TypeError("ask the attackers of `Worst` one by one")

  def insiders(self, client, count) -> tuple[int, ...]:
    """See `Attacker`."""
    return tuple(sorted({i for a in self.attackers for i in a.insiders(client, count)}))

  def check(self, count) -> None:
    """See `Attacker`."""
    for attacker in self.attackers:
      attacker.check(count)
