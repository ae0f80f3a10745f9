"""What changes from round to round: a function of the round's number, from 0."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from fedsafe_tff.errors import UserError

# The number of a round, int32, to the value in it.
Schedule = Callable[[tf.Tensor], tf.Tensor]


def table(values: Sequence[float] | Sequence[bool]) -> Schedule:
  """A value per round; the last one stays from then on.

  Raises:
    UserError: There is none.
  """
  if not len(values):
    raise UserError("a schedule needs a value for one round at least")
  dtype = tf.bool if isinstance(values[0], bool) else tf.float32
  values = list(values)

  def value(round_number):
    return tf.constant(values, dtype)[tf.minimum(round_number, len(values) - 1)]

  return value


def cosine(full: float, rounds: int) -> Schedule:
  """Falls from `full` towards zero over `rounds` rounds, as half a cosine."""
  return table([full * 0.5 * (1 + math.cos(math.pi * r / rounds)) for r in range(rounds)])


def warmup(full: float, rounds: int) -> Schedule:
  """Grows in equal parts over `rounds` rounds, from the first one on, and is `full` after them."""
  return table([full * (r + 1) / (rounds + 1) for r in range(rounds)] + [full])


def every(count: int) -> Schedule:
  """True in every `count`-th round: in round `count` - 1, the first time."""
  if count < 1:
    raise UserError(f"every {count} rounds can't be: give 1 or more")
  return lambda round_number: tf.equal((round_number + 1) % count, 0)
