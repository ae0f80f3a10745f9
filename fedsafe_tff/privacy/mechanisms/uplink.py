"""Noise on what a client uploads: by the paper's formula, and by the sensitivity that is provable.

The upload is clipped to C. Whatever changes in a client's data, one record or all of them, it moves
from one point of the ball to another: by up to 2C, replaced, added or removed.
"""

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import calibration
from fedsafe_tff.privacy.accountant import Release
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.solving import calibrate


def _uplink(name: str, settings: PrivacySettings, sigma: float) -> Mechanism:
  z = sigma / (2.0 * settings.clip_norm)
  exposures = settings.exposures or settings.rounds

  def nominal(rounds: int) -> float:
    return calibration.paper_epsilon(
      sigma=sigma,
      delta=settings.delta,
      clip_norm=settings.clip_norm,
      min_images=min(settings.client_images),
      exposures=max(1, min(rounds, exposures)),
    )

  return Mechanism(
    name=name,
    level="client",
    adjacency="replace_one",
    releases=lambda rounds: [Release(z, rounds)],
    delta=settings.delta,
    observer="server",
    noise_multiplier=z,
    units=len(settings.client_images),
    upload_clip=settings.clip_norm,
    upload_sigma=sigma,
    nominal_epsilon=nominal if sigma > 0 else None,
  )


def paper(settings: PrivacySettings) -> Mechanism:
  """Eq. 2, 3: sigma = c L (2C / m) / epsilon, and what it really guarantees."""
  sigma = (settings.noise_multiplier or 0.0) * settings.clip_norm
  if settings.target_epsilon is not None:
    sigma = calibration.paper_uplink_sigma(
      epsilon=settings.target_epsilon,
      delta=settings.delta,
      clip_norm=settings.clip_norm,
      min_images=min(settings.client_images),
      exposures=settings.exposures or settings.rounds,
    )
  return _uplink("paper", settings, sigma)


def output(settings: PrivacySettings) -> Mechanism:
  """The same with the provable sensitivity 2C and the analytic Gaussian mechanism.

  Balle and Wang, *Improving the Gaussian Mechanism for Differential Privacy* (ICML 2018).
  """
  z = settings.noise_multiplier
  if settings.target_epsilon is not None:
    z = calibrate(
      lambda z: [Release(z, settings.rounds)], settings.target_epsilon, settings.delta
    )
  if not z > 0:
    raise UserError(f"the noise multiplier is {z}, but `output` needs one above 0")
  return _uplink("output", settings, z * 2.0 * settings.clip_norm)
