"""What clients received in earlier rounds: copies of the global models that are kept."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.runs import defenses
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.training.copies import round_key

Weights = Sequence[np.ndarray]


def copies(
  config: Config,
  prepared: Prepared,
  models: Mapping[int, Weights],
  *,
  noise_seed: int | None,
  sigma: float,
) -> list[list[Weights]]:
  """The copies that clients trained on, where every round had its own.

  They are made anew from the round's key, as in that round.

  Args:
    config: The run's settings.
    prepared: Data and model.
    models: Global models by the number of rounds that they had behind them.
    noise_seed: That of the run; None where there is none.
    sigma: Standard deviation of the copies' noise per weight.

  Returns:
    Copies by round, the oldest first, and client; none where only the last distribution had copies.
  """
  make = defenses.copies(config, prepared, sigma)
  if make is None or noise_seed is None or config.downlink_schedule != "every":
    return []
  drawn = tf.function(make, input_signature=[prepared.model.weight_specs(), keys.SPEC])
  noise_key = keys.noise_root(noise_seed, config.seed)
  made = []
  for number in sorted(models):
    weights = tuple(tf.convert_to_tensor(w) for w in models[number])
    key = round_key(noise_key, number)
    made.append([
      tuple(w.numpy() for w in drawn(weights, keys.fold(key, client)))
      for client in range(config.num_clients)
    ])  # fmt: skip
  return made
