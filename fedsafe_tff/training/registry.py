"""The defences that there are, of which parts each is made: a new part takes a class and a line.

A part is a class, imported on first use: of a `gradients.LocalGradient`, of what is called as
`adaptation.Adaptation` is, or of `copies.Copies`. A run's settings reach it by the names of its
arguments, see `runs.parts`. Parts combine: `local+adaptation+noise` is a defence as well.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError
from fedsafe_tff.training import own

_SLOTS = {"gradient": "local training", "adaptation": "adaptation", "copies": "copies"}
_JOIN = "+"


@dataclasses.dataclass(frozen=True)
class Defense:
  """A defence.

  Attributes:
    gradient: What makes the gradient that local steps follow; None for the plain one (Eq. 1).
    adaptation: What makes the adaptation at the server (Eq. 8-10); None for none.
    copies: What makes the copies that clients receive for use (Algorithm 1, 12-15); None where
      all receive the model itself.
    adapts_copies: Whether `copies` adapts each of them, with the settings of the adaptation.
    imitation: What makes the way in which an attacker makes such copies from its own one, (client,
      weights, key) to weights; None for `copies` with the attacker's images.
    help: What it is, in a few words for `--help`.
  """

  gradient: Callable[..., Any] | None = None
  adaptation: Callable[..., Any] | None = None
  copies: Callable[..., Any] | None = None
  adapts_copies: bool = False
  imitation: Callable[..., Any] | None = None
  help: str = ""


_adversarial = lazy.Member("fedsafe_tff.training.gradients", "Adversarial")
_adaptation = lazy.Member("fedsafe_tff.training.adaptation", "Adaptation")
_noise = lazy.Member("fedsafe_tff.training.copies", "Noise")
_healed = lazy.Member("fedsafe_tff.training.healed", "Healed")

# Each fills one of the three places.
PARTS: dict[str, Defense] = {
  "local": Defense(
    gradient=_adversarial,
    help="clients train on adversarial examples (Eq. 5)",
  ),
  "adaptation": Defense(
    adaptation=_adaptation,
    help="the server adapts the model on adversarial examples (Eq. 8-10)",
  ),
  "noise": Defense(
    copies=_noise,
    help="an independently noised copy for every client (Algorithm 1, 12-15)",
  ),
  "healed": Defense(
    copies=_healed,
    adapts_copies=True,
    help="such copies, each adapted at the server after the noise",
  ),
}


def _named(name: str) -> Defense:
  return own.load(name, lazy.listed(DEFENSES)) if own.is_own(name) else PARTS[name]


def join(parts: Iterable[str], help_text: str = "") -> Defense:
  """The defence of several parts.

  Args:
    parts: Names of `PARTS`, or of users' defences, in any order.
    help_text: What it is, in a few words.

  Raises:
    UserError: A part is unknown, or two take the same place.
  """
  made: dict[str, Any] = {}
  for name in parts:
    if name not in PARTS and not own.is_own(name):
      raise UserError(
        f"part {name!r} of a defence is unknown: join {lazy.listed(PARTS)} by {_JOIN}"
      )
    found = _named(name)
    for slot, what in _SLOTS.items():
      part = getattr(found, slot)
      if part is None:
        continue
      if slot in made:
        raise UserError(f"two parts of the defence, {name!r} among them, are for {what}: give one")
      made[slot] = part
    if found.copies is not None:
      made |= {"adapts_copies": found.adapts_copies, "imitation": found.imitation}
  return Defense(**made, help=help_text)


DEFENSES: dict[str, Defense] = {
  "none": Defense(),
  "local_adversarial_training": join(["local"], "clients train on adversarial examples"),
  "server_adversarial_training": join(
    ["adaptation"], "the server adapts the model on adversarial examples"
  ),
  "distributed_noise": join(
    ["adaptation", "noise"],
    "the paper's method: adaptation at the server, then an independently noised copy for every "
    "client",
  ),
  "noise_only": join(["noise"], "such copies without adaptation"),
  "combined": join(
    ["local", "healed"],
    "adversarial training at the clients, then noised copies that the server heals",
  ),
}


def defense_of(name: str) -> Defense:
  """A defence by its name, or by those of its parts, as in "local+noise"; see `own` for users'.

  Raises:
    UserError: There is none.
  """
  if name in DEFENSES:
    return DEFENSES[name]
  parts = name.split(_JOIN)
  if len(parts) == 1 and own.is_own(name):
    return _named(name)
  if len(parts) == 1 and name not in PARTS:
    raise UserError(
      f"--defense={name} is unknown: choose one of {', '.join(DEFENSES)}, join parts by "
      f"{_JOIN}: {', '.join(PARTS)}, or give PATH/file.py:factory"
    )
  return join(parts)


def having(part: str) -> str:
  """The defences and parts that have a part, one of `Defense`'s fields, for a message."""
  names = [name for name, d in DEFENSES.items() if getattr(d, part)]
  joined = [name for name, d in PARTS.items() if getattr(d, part)]
  return f"{lazy.listed(names)}, or one with {lazy.listed(joined)}" if names else "+" + joined[0]
