"""An attacker as a value: for each client in its role, what it holds and whom it attacks."""

import abc
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from fedsafe_tff.attackers.holding import Holding, Weights
from fedsafe_tff.errors import UserError


class Attacker(abc.ABC):
  """Every client in turn takes its role.

  Attributes:
    name: Of `registry.ATTACKERS`.
    same_draws: Whether two clients that hold the same models are one attacker, with the same
      random starts; otherwise each has its own.
  """

  name: ClassVar[str]
  same_draws: ClassVar[bool] = True

  @abc.abstractmethod
  def holdings(self, client: int, copies: Sequence[Weights], key: tf.Tensor) -> list[Holding]:
    """What the client holds.

    Args:
      client: Who attacks.
      copies: The copies that all clients received; which of them it may see is its own affair.
      key: int64 [2], for what the attacker trains or makes, as distinct from what an attack draws.

    Returns:
      Holdings, of which every victim belongs to exactly one.
    """

  def insiders(self, client: int, count: int) -> tuple[int, ...]:
    """The clients, of `count`, whose copies are no secret to it: no one of the others' mean."""
    del count
    return (client,)

  def check(self, count: int) -> None:
    """Refuses a number of clients that the attacker does not fit.

    Raises:
      UserError: It does not.
    """
    del count


def check_rounds(rounds: Sequence, count: int, name: str) -> None:
  """Refuses a history without rounds, or with a round of another number of clients."""
  if not len(rounds):
    raise UserError(f"the {name} attacker needs what was seen in one round at least")
  for number, copies in enumerate(rounds):
    if len(copies) != count:
      raise UserError(
        f"the {name} attacker knows {len(copies)} copies of round {number}, but there are "
        f"{count} clients"
      )


def check_positive(**values: int) -> None:
  """Refuses counts below 1."""
  for name, value in values.items():
    if value < 1:
      raise UserError(f"an attacker's {name} is {value}, but must be at least 1")
