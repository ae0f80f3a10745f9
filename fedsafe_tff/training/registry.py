"""The defences that there are, of which parts each is made: a new one takes a class and a line.

A part is a class, imported on first use: of a `gradients.LocalGradient`, of what is called as
`adaptation.Adaptation` is, or of `copies.Copies`. A run's settings reach it by the names of its
arguments, see `runs.parts`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from fedsafe_tff import lazy

_adversarial = lazy.Member("fedsafe_tff.training.gradients", "Adversarial")
_adaptation = lazy.Member("fedsafe_tff.training.adaptation", "Adaptation")
_noise = lazy.Member("fedsafe_tff.training.copies", "Noise")


@dataclasses.dataclass(frozen=True)
class Defense:
  """A defence.

  Attributes:
    gradient: What makes the gradient that local steps follow; None for the plain one (Eq. 1).
    adaptation: What makes the adaptation at the server (Eq. 8-10); None for none.
    copies: What makes the copies that clients receive for use (Algorithm 1, 12-15); None where
      all receive the model itself.
    help: What it is, in a few words for `--help`.
  """

  gradient: Callable[..., Any] | None = None
  adaptation: Callable[..., Any] | None = None
  copies: Callable[..., Any] | None = None
  help: str = ""


DEFENSES: dict[str, Defense] = {
  "none": Defense(),
  "local_adversarial_training": Defense(
    gradient=_adversarial, help="clients train on adversarial examples"
  ),
  "server_adversarial_training": Defense(
    adaptation=_adaptation, help="the server adapts the model on adversarial examples"
  ),
  "distributed_noise": Defense(
    adaptation=_adaptation,
    copies=_noise,
    help="the paper's method: adaptation at the server, then an independently noised copy for "
    "every client",
  ),
  "noise_only": Defense(copies=_noise, help="such copies without adaptation"),
}


def having(part: str) -> str:
  """The defences that have a part, one of `Defense`'s fields, for a message: a, b or c."""
  return lazy.listed(name for name, d in DEFENSES.items() if getattr(d, part) is not None)
