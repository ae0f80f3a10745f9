"""Attackers who only look at copies: their own, many rounds', or those of friends."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from fedsafe_tff.attackers.attacker import Attacker, check_positive, check_rounds
from fedsafe_tff.attackers.holding import Holding, Weights, mean
from fedsafe_tff.attacks.ensemble import GaussianRedraw
from fedsafe_tff.errors import UserError

# [rounds][clients] copies that clients received in earlier rounds, or in all.
Rounds = Sequence[Sequence[Weights]]


@dataclasses.dataclass(frozen=True)
class OwnCopy(Attacker):
  """Attacks through the copy that it received (the paper's)."""

  name: ClassVar[str] = "own_copy"

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del key
    return [Holding((copies[client],), stream=client)]


@dataclasses.dataclass(frozen=True)
class NoiseEnsemble(Attacker):
  """Knows the noise: at every step attacks through models drawn around what it holds.

  The mean of their gradients is that of the loss expected over the noise (EOT). Meant to be used
  with momentum.

  Attributes:
    sigma: Standard deviation of its own noise per weight, above 0.
    draws: Models per held one and step.
    around: Whose models it draws around.
  """

  sigma: float
  draws: int = 10
  around: Attacker = OwnCopy()

  name: ClassVar[str] = "noise_ensemble"

  def __post_init__(self):
    check_positive(draws=self.draws)
    if not self.sigma > 0:
      raise UserError(f"the noise ensemble's sigma is {self.sigma}, but must be above 0")

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    return [
      dataclasses.replace(held, redraw=GaussianRedraw(self.sigma), draws=self.draws)
      for held in self.around.holdings(client, copies, key)
    ]

  def insiders(self, client, count) -> tuple[int, ...]:
    """See `Attacker`."""
    return self.around.insiders(client, count)

  def check(self, count) -> None:
    """See `Attacker`."""
    self.around.check(count)


@dataclasses.dataclass(frozen=True, eq=False)
class Averaging(Attacker):
  """Attacks the mean of the copies that it received in several rounds.

  Attributes:
    rounds: Copies by round and client; the last round's are those that count as received, if the
      attacker is to know them.
    count: How many rounds, the last ones; 0 for all.
  """

  rounds: Rounds
  count: int = 0

  name: ClassVar[str] = "averaging"

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del copies, key
    last = self.rounds[-self.count :]
    return [Holding((mean([of_round[client] for of_round in last]),), stream=client)]

  def check(self, count) -> None:
    """See `Attacker`."""
    check_rounds(self.rounds, count, self.name)
    if self.count > len(self.rounds):
      raise UserError(
        f"an attacker who averages copies of {self.count} rounds: those of {len(self.rounds)} are "
        f"kept, so write averaging:{len(self.rounds)} or less"
      )


@dataclasses.dataclass(frozen=True, eq=False)
class RoundHistory(Attacker):
  """An insider who kept what it saw in earlier rounds attacks through all of it and its own copy.

  Attributes:
    rounds: Copies by round and client, without those that it holds now; may be empty.
    global_models: Global models that it kept; may be empty.
  """

  rounds: Rounds = ()
  global_models: Sequence[Weights] = ()

  name: ClassVar[str] = "round_history"

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del key
    kept = [of_round[client] for of_round in self.rounds]
    return [Holding((copies[client], *kept, *self.global_models), stream=client)]

  def check(self, count) -> None:
    """See `Attacker`."""
    if not len(self.global_models) or len(self.rounds):
      check_rounds(self.rounds, count, self.name)


@dataclasses.dataclass(frozen=True)
class Colluding(Attacker):
  """Clients that pool their copies: each and those after it, in a ring.

  Attributes:
    count: How many.
    pool: "mean" attacks the mean of their copies, from which most of an independent noise is gone;
      "ensemble" attacks through all of them.
  """

  count: int = 2
  pool: str = "mean"

  name: ClassVar[str] = "colluding"
  same_draws: ClassVar[bool] = False

  def __post_init__(self):
    check_positive(count=self.count)
    if self.pool not in ("mean", "ensemble"):
      raise UserError(f"colluders pool their copies by mean or ensemble, not by {self.pool!r}")

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del key
    held = [copies[member] for member in self.insiders(client, len(copies))]
    models = tuple(held) if self.pool == "ensemble" else (mean(held),)
    return [Holding(models, stream=client)]

  def insiders(self, client, count) -> tuple[int, ...]:
    """See `Attacker`."""
    return tuple((client + step) % count for step in range(self.count))

  def check(self, count) -> None:
    """See `Attacker`."""
    if self.count > count:
      raise UserError(f"{self.count} colluders are more than the {count} clients")
