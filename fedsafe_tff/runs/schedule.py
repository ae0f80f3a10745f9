"""What the number of a round decides: rate, perturbation, whether the server adapts."""

import math

from fedsafe_tff.runs.config import Config


def adapts_in(config: Config, round_index: int) -> bool:
  """Whether the server adapts in a round: in the last one, and in every k-th if it is asked to."""
  if not config.adapts:
    return False
  every = config.adaptation_every
  last = round_index == config.rounds - 1
  return last or (every > 0 and (round_index + 1) % every == 0)


def iterates(config: Config) -> bool:
  """Whether the server's adaptation is made pass by pass."""
  return config.adapts and config.adaptation_examples == "iterated"


def learning_rate(config: Config, round_index: int) -> float:
  """Local learning rate in a round: constant, or a cosine from the full rate to zero."""
  if config.learning_rate_schedule == "cosine":
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * round_index / config.rounds))
  return config.learning_rate


def local_attack_eps(config: Config, round_index: int) -> float:
  """Perturbation of local adversarial training in a round, in pixels of [0, 1].

  It is 0 before --local_attack_start, grows in equal parts over the warm-up, and is what was asked
  for in the rest: at least in the last quarter of the rounds from the start on. Fewer than four
  such rounds have no warm-up.
  """
  if not config.trains_robustly:
    return 0.0
  # Rounded, lest a product such as 0.07 * 100 = 7.000000000000001 be taken for eight rounds.
  start = math.floor(round(config.local_attack_start * config.rounds, 6))
  rounds, index = config.rounds - start, round_index - start
  if index < 0:
    return 0.0
  if rounds < 4:
    return config.local_attack_eps
  warmup = math.ceil(round(config.local_attack_warmup * rounds, 6))
  warmup = min(warmup, rounds * 3 // 4)
  return config.local_attack_eps * min(1.0, (index + 1) / (warmup + 1))
