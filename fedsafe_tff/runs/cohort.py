"""Which clients take part in a round."""

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.runs.config import Config


def cohort(config: Config, round_index: int) -> list[int]:
  """The clients of a round (from 0), in rising order.

  All of them, or --clients_per_round, drawn without replacement. The draw follows from the seed,
  which stands in the run folder: who took part is no secret, and no privacy is claimed from it.
  """
  if not config.clients_per_round:
    return list(range(config.num_clients))
  key = keys.fold(keys.root(config.seed), keys.COHORT, round_index)
  order = tf.random.experimental.stateless_shuffle(tf.range(config.num_clients), key, alg=keys.ALG)
  return sorted(order[: config.clients_per_round].numpy().tolist())


def took_part(config: Config, rounds: int) -> list[int]:
  """The clients that take part in any of so many rounds, in rising order."""
  return sorted({client for number in range(rounds) for client in cohort(config, number)})
