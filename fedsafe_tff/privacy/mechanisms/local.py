"""DP-SGD at the clients: an image, or a patient's images, against the server and everybody else."""

import dataclasses
import math

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import Release, dp_sgd_releases
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.solving import calibrate

_LEAST_COUNT_STDDEV = 2.0


def dp_sgd(settings: PrivacySettings) -> Mechanism:
  """Clipped and noised gradients on Poisson batches, see `privacy.dp_sgd`.

  Clients have data of their own, so that their guarantees hold side by side; the smallest client
  is drawn from at the highest rate and has the highest epsilon, which is stated. A target is met
  by the noise of the last round's end.

  Raises:
    UserError: Batches larger than a client's data, a level that it has not, or no noise enough.
  """
  least = min(settings.client_images)
  if settings.batch_size > least:
    raise UserError(
      f"Poisson sampling can't draw batches of {settings.batch_size} from a client with {least} "
      "images: take a smaller --batch_size"
    )
  if settings.level not in ("record", "patient"):
    raise UserError(f"dp_sgd protects a record or a patient, not a {settings.level}")
  rate = settings.batch_size / least
  steps = settings.local_steps or math.ceil(1.0 / rate)
  # Of small batches a tenth would make the count cost more than the gradients do.
  usual = max(_LEAST_COUNT_STDDEV, settings.batch_size / settings.microbatch / 10.0)
  stddev = settings.count_stddev or usual * (2.0 if settings.microbatch > 1 else 1.0)
  group = settings.group if settings.level == "patient" else 1
  # An image that is drawn, at this rate, is dealt to a microbatch.
  common = {
    "sampling_rate": rate,
    "microbatch": settings.microbatch,
    "count_multiplier": 2.0 * stddev if settings.adaptive_clip else math.inf,
  }

  def releases(noise_multiplier: float, rounds: int) -> list[Release]:
    return dp_sgd_releases(noise_multiplier=noise_multiplier, steps=rounds * steps, **common)

  z = settings.noise_multiplier
  if settings.target_epsilon is not None:
    z = calibrate(
      lambda z: releases(z, settings.rounds), settings.target_epsilon, settings.delta, group=group
    )
  return Mechanism(
    name="dp_sgd",
    level=settings.level,
    adjacency="add_or_remove_one",
    releases=lambda rounds: releases(z, rounds),
    delta=settings.delta,
    observer="server",
    noise_multiplier=z,
    sampling="poisson" if rate < 1.0 else "none",
    sampling_rate=rate,
    group=group,
    units=least,
    clip="adaptive" if settings.adaptive_clip else "fixed",
    microbatch=settings.microbatch,
    gradient=_gradient(settings, z, stddev),
  )


def _gradient(settings: PrivacySettings, z: float, stddev: float):
  from fedsafe_tff.privacy.dp_sgd.adaptive import AdaptiveClip
  from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd

  made = DpSgd(
    clip_norm=settings.clip_norm,
    noise_multiplier=z,
    batch_size=settings.batch_size,
    microbatch=settings.microbatch,
    attack_eps=settings.attack_eps,
    attack_steps=settings.attack_steps,
  )
  if settings.adaptive_clip:
    adaptive = AdaptiveClip(initial=settings.clip_norm, count_stddev=stddev)
    made = dataclasses.replace(made, adaptive=adaptive)
  return made
