"""Attackers who train or make models of their own, by functions that are handed in."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.attacker import Attacker, check_positive
from fedsafe_tff.attackers.copies import OwnCopy
from fedsafe_tff.attackers.holding import Holding, Weights, digest, mean
from fedsafe_tff.models.functional import FunctionalModel

# (client, weights, key) to weights: from a copy of the client's, with the client's data.
FromCopy = Callable[[int, Weights, tf.Tensor], Weights]
# (client, key) to weights: from the client's data alone.
FromData = Callable[[int, tf.Tensor], Weights]


class _Making(Attacker):
  """Remembers what it made: it costs a training, and every attack asks for it."""

  def _once(self, make, client: int, key: tf.Tensor, *weights: Weights) -> Weights:
    own = keys.fold(key, keys.ATTACKER, client)
    known = (client, own.numpy().tobytes(), *(digest(w) for w in weights))
    if known not in self._made:
      self._made[known] = make(client, *weights, own)
    return self._made[known]


def _nothing_yet() -> dict:
  return dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class LocalUpdate(_Making):
  """Trains its copy on its data before it attacks through it.

  The victims use what they received. Where every client uses its own model after local training
  (the reading under which the paper's adversarial training has self different from avg), give the
  trained models as the copies, and attack with `OwnCopy`.

  Attributes:
    train: (client, weights, key) to the weights after local training.
  """

  train: FromCopy
  _made: dict = _nothing_yet()

  name: ClassVar[str] = "local_update"

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    return [Holding((self._once(self.train, client, key, copies[client]),), stream=client)]


@dataclasses.dataclass(frozen=True)
class Surrogate(_Making):
  """Attacks through a model that it trained on its own data alone.

  It holds no copy, so that everybody's but its own counts as the others'.

  Attributes:
    train: (client, key) to the weights of its model.
    model: Its architecture; None for the victims'.
  """

  train: FromData
  model: FunctionalModel | None = None
  _made: dict = _nothing_yet()

  name: ClassVar[str] = "surrogate"

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del copies
    models = (self._once(self.train, client, key),)
    return [Holding(models, stream=client, model=self.model)]


@dataclasses.dataclass(frozen=True, eq=False)
class Redrawn(_Making):
  """Attacks the mean of its copy and of those that further rounds would have given it.

  `copies.Averaging` of a federation whose rounds are over, when its client is asked for alone.

  Attributes:
    received: The copies that clients received.
    redraw: (client, round from 1) to the weights of a further copy.
    count: Copies that are averaged.
  """

  received: Sequence[Weights]
  redraw: Callable[[int, int], Weights]
  count: int = 4
  _made: dict = _nothing_yet()

  name: ClassVar[str] = "averaging"

  def __post_init__(self):
    check_positive(count=self.count)

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    del copies

    def make(client, key):
      del key  # the server's decides
      further = [self.redraw(client, round_) for round_ in range(1, self.count)]
      return mean([self.received[client], *further])

    return [Holding((self._once(make, client, key),), stream=client)]


@dataclasses.dataclass(frozen=True)
class Imitation(_Making):
  """Makes copies as the defender does, from what it holds; attacks through these and its own.

  Attributes:
    make: (client, weights, key) to the weights of a copy, in the defender's way.
    count: How many it makes.
    around: What it holds: it makes copies of the mean of these models, as of its own alone.
  """

  make: FromCopy
  count: int = 4
  around: Attacker = OwnCopy()
  _made: dict = _nothing_yet()

  name: ClassVar[str] = "imitation"

  def __post_init__(self):
    check_positive(count=self.count)

  def holdings(self, client, copies, key) -> list[Holding]:
    """See `Attacker`."""
    (held,) = self.around.holdings(client, copies, key)
    source = held.models[0] if len(held.models) == 1 else mean(held.models)
    made = [
      self._once(self.make, client, keys.fold(key, number), source)
      for number in range(self.count)
    ]
    return [Holding((*held.models, *made), stream=client)]

  def insiders(self, client, count) -> tuple[int, ...]:
    """See `Attacker`."""
    return self.around.insiders(client, count)

  def check(self, count) -> None:
    """See `Attacker`."""
    self.around.check(count)
