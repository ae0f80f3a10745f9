"""From a run's settings to its privacy mechanism, solved, and the rounds that an epsilon allows."""

import dataclasses
import math
from collections.abc import Callable, Sequence

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.mechanisms.registry import build_mechanism
from fedsafe_tff.privacy.statement import SERVERS_IMAGES, PrivacyStatement
from fedsafe_tff.runs.config import Config

BEGUN = "the images behind --init_from, which are taken to be public"
ADAPTED = f"{SERVERS_IMAGES}, on which adaptation trains without clipping or noise"


def batches_of_epoch(client_images: Sequence[int], batch_size: int) -> int:
  """Batches in an epoch of a client of mean size."""
  return math.ceil(sum(client_images) / len(client_images) / batch_size)


def poisson_steps(config: Config, client_images: Sequence[int]) -> int:
  """Batches that each client draws in a round of `dp_sgd`: epochs of a client of mean size."""
  return config.local_epochs * batches_of_epoch(client_images, config.batch_size)


def mechanism(
  config: Config, client_images: Sequence[int], largest_patient: int, seed: int | None
) -> Mechanism:
  """The mechanism that `--privacy` asks for.

  Args:
    config: The run's settings.
    client_images: Number of images of each client.
    largest_patient: Images of a patient at most; 0 where no patient is named.
    seed: Of its noise, where it can be given.

  Raises:
    UserError: It can't meet what is asked for.
  """
  if config.privacy_level == "patient" and not largest_patient:
    raise UserError(
      "--privacy_level=patient needs images whose patients are named: --metadata, --layout or "
      "--patient_pattern tells them"
    )
  local = config.trains_robustly
  return build_mechanism(
    config.privacy,
    PrivacySettings(
      delta=config.uplink_delta,
      rounds=config.rounds,
      clip_norm=config.clip_norm,
      noise_multiplier=config.noise_multiplier or None,
      target_epsilon=config.target_epsilon or None,
      client_images=tuple(client_images),
      level=config.privacy_level,
      group=max(1, largest_patient),
      batch_size=config.batch_size,
      local_steps=poisson_steps(config, client_images),
      microbatch=config.batch_size // config.dp_microbatches if config.dp_microbatches else 1,
      adaptive_clip=config.dp_clip == "adaptive",
      exposures=config.exposures,
      attack_eps=config.local_attack_eps if local else 0.0,
      attack_steps=config.local_attack_steps if local else 0,
      seed=None if seed is None else seed % 2**31,
    ),
  )


def by_older_flags(config: Config, min_images: int, uplink_sigma: float) -> Mechanism | None:
  """The mechanism that noise asked for by other flags amounts to; None where there is none."""
  common = {
    "delta": config.uplink_delta,
    "rounds": config.rounds,
    "client_images": (min_images,) * config.num_clients,
  }
  if config.central_dp:
    settings = PrivacySettings(noise_multiplier=config.dp_noise_multiplier, **common)
    return build_mechanism("central", settings)
  if config.accounted_uploads:
    settings = PrivacySettings(
      noise_multiplier=uplink_sigma / config.clip_norm,
      clip_norm=config.clip_norm,
      exposures=config.exposures,
      **common,
    )
    return build_mechanism("paper", settings)
  return None


def statement(config: Config, made: Mechanism | None, rounds: int) -> PrivacyStatement:
  """What is guaranteed after so many rounds; of a run without a mechanism, that nothing is."""
  if made is not None:
    found = made.statement(rounds)
    left = found.not_covered
    if config.adapts or config.heals_copies:
      left = tuple(ADAPTED if what == SERVERS_IMAGES else what for what in left)
    if config.init_from:
      left = (*left, BEGUN)
    if config.clients_per_round and found.sampling == "none":
      found = dataclasses.replace(found, sampling="cohort")
    return dataclasses.replace(found, not_covered=left)
  name = "noise without clipping" if config.noised_uploads else "none"
  return PrivacyStatement(
    mechanism=name,
    level="record",
    adjacency="add_or_remove_one",
    epsilon=None,
    delta=config.uplink_delta,
    compositions=rounds,
  )


def rounds_within(epsilon: Callable[[int], float | None], most: float, rounds: int) -> int:
  """How many of `rounds` cost `most` at most.

  Args:
    epsilon: From a number of rounds to what they cost.
    most: Not exceeded.
    rounds: Where to stop looking.

  Raises:
    UserError: Not one does.
  """

  def within(number: int) -> bool:
    cost = epsilon(number)
    return cost is not None and cost <= most

  low, high = 0, rounds + 1
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if within(middle) else (low, middle)
  if not low:
    cost = epsilon(1)
    told = "no epsilon is guaranteed" if cost is None else f"one round costs epsilon {cost:.4g}"
    raise UserError(f"--stop_at_epsilon={most:g} can't be kept: {told}; add noise, or ask for more")
  return low
