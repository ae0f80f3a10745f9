"""Attackers who hold no model and ask their victims."""

import dataclasses
from typing import ClassVar

from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.registry import ACCESS
from fedsafe_tff.errors import UserError


@dataclasses.dataclass(frozen=True)
class BlackBox(Attacker):
  """Asks each victim about each image, and makes images for each of its own.

  What it makes for a victim does not depend on who asks. *Self* is what it would do to its own
  copy by asking alone: no better than the attacks through it, or these are masked.

  Attributes:
    answers: What the victim tells, "scores" (its logits) or "labels" alone.
  """

  answers: str = "scores"

  name: ClassVar[str] = "black_box"

  def __post_init__(self):
    if self.answers not in ACCESS[1:]:
      raise UserError(f"a victim answers with {' or '.join(ACCESS[1:])}, not {self.answers!r}")

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del client, key
    return [
      Holding((copy,), victims=(victim,), stream=victim, access=self.answers)
      for victim, copy in enumerate(copies)
    ]
