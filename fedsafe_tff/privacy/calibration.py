"""The paper's noise formulas (Eq. 2-3; Wei et al., IEEE TIFS 15, 2020), with its nominal epsilon.

They are reproduced as published. What they guarantee is another matter: see `accounting`.
"""

import math

from fedsafe_tff.errors import UserError


def _check(**values: float) -> None:
  """Raises a UserError unless every value is positive and finite, and delta below 1."""
  for name, value in values.items():
    if not (value > 0 and math.isfinite(value)):
      raise UserError(f"{name} is {value}, but must be a finite number above 0")
  if values.get("delta", 0.5) >= 1:
    raise UserError(f"delta is {values['delta']}, but must lie in (0, 1)")


def gaussian_constant(delta: float) -> float:
  """The c = sqrt(2 ln(1.25 / delta)) of the classical Gaussian mechanism."""
  _check(delta=delta)
  return math.sqrt(2.0 * math.log(1.25 / delta))


def paper_sensitivity(clip_norm: float, min_images: int) -> float:
  """Delta s = 2C / m (Eq. 2, 3)."""
  _check(clip_norm=clip_norm, min_images=min_images)
  return 2.0 * clip_norm / min_images


def paper_uplink_sigma(
  *, epsilon: float, delta: float, clip_norm: float, min_images: int, exposures: int
) -> float:
  """sigma_up = c L (2C / m) / epsilon.

  Args:
    epsilon: The paper's nominal epsilon.
    delta: delta of the Gaussian mechanism.
    clip_norm: Clipping norm C.
    min_images: Least local data set size m.
    exposures: Number of uploads L.

  Returns:
    Standard deviation per uploaded coordinate. The formula composes linearly in L, leaves delta
    uncomposed and is proved for epsilon below 1 only.

  Raises:
    UserError: A value is not positive, or delta is outside (0, 1).
  """
  _check(epsilon=epsilon, exposures=exposures)
  sensitivity = paper_sensitivity(clip_norm, min_images)
  return gaussian_constant(delta) * exposures * sensitivity / epsilon


def paper_epsilon(
  *, sigma: float, delta: float, clip_norm: float, min_images: int, exposures: int
) -> float:
  """The nominal epsilon that the paper assigns to `sigma`: the inverse of `paper_uplink_sigma`."""
  _check(sigma=sigma, exposures=exposures)
  sensitivity = paper_sensitivity(clip_norm, min_images)
  return gaussian_constant(delta) * exposures * sensitivity / sigma


def wei_downlink_sigma(
  *,
  epsilon: float,
  delta: float,
  clip_norm: float,
  min_images: int,
  rounds: int,
  exposures: int,
  num_clients: int,
) -> float:
  """sigma_down = 2 c C sqrt(T^2 - L^2 N) / (m N epsilon) if T > L sqrt(N), else 0.

  It counts on the uplink noise of all N clients in an equally weighted mean.

  Args:
    epsilon: Nominal epsilon.
    delta: delta of the Gaussian mechanism.
    clip_norm: Clipping norm C.
    min_images: Least local data set size m.
    rounds: Rounds T, that is exposures of the broadcast.
    exposures: Exposures L of an upload.
    num_clients: Number of clients N.

  Returns:
    Standard deviation per weight of the broadcast model.

  Raises:
    UserError: A value is not positive, or delta is outside (0, 1).
  """
  _check(
    epsilon=epsilon,
    clip_norm=clip_norm,
    min_images=min_images,
    rounds=rounds,
    exposures=exposures,
    num_clients=num_clients,
  )
  c = gaussian_constant(delta)
  excess = rounds**2 - exposures**2 * num_clients
  if excess <= 0:
    return 0.0
  return 2.0 * c * clip_norm * math.sqrt(excess) / (min_images * num_clients * epsilon)
