"""The noise of a run: its seed, sigma from the flags or the formulas, and epsilon so far."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff import keys
from fedsafe_tff.privacy import accounting, calibration
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism
from fedsafe_tff.privacy.statement import PrivacyStatement
from fedsafe_tff.runs import defenses, private
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared


@dataclasses.dataclass(frozen=True)
class Noise:
  """Noise of a run.

  Attributes:
    uplink_sigma: Per uploaded coordinate; 0 for none.
    downlink_sigma: Per weight of a client's copy; 0 for none.
    config: The run's settings.
    min_images: Size m of the smallest client.
    seed: Seed of all of it; None where there is none.
    mechanism: What `--privacy` asks for; None where it asks for none.
  """

  uplink_sigma: float
  downlink_sigma: float
  config: Config
  min_images: int
  seed: int | None
  mechanism: Mechanism | None = None

  @classmethod
  def from_config(
    cls,
    config: Config,
    min_images: int,
    manifest: Mapping[str, Any] | None = None,
    *,
    client_images: Sequence[int] = (),
    largest_patient: int = 0,
  ) -> "Noise":
    """Takes sigma from the flags, or computes it (Eq. 2-3; Wei et al.).

    Args:
      config: The run's settings.
      min_images: Size m of the smallest client.
      manifest: Of the run that is continued: it holds the seed where that was drawn.
      client_images: Size of each client; by default they are all of size m.
      largest_patient: Images of a patient at most; 0 where no patient is named.

    Raises:
      UserError: `--privacy` can't meet what is asked for.
    """
    common = {
      "delta": config.uplink_delta,
      "clip_norm": config.clip_norm,
      "min_images": min_images,
      "exposures": config.effective_exposures,
    }
    uplink = config.uplink_sigma
    if config.uplink_epsilon > 0:
      uplink = calibration.paper_uplink_sigma(epsilon=config.uplink_epsilon, **common)
    noisy = defenses.takes_sigma(config)
    downlink = config.downlink_sigma if noisy else 0.0
    if noisy and config.downlink_epsilon > 0:
      downlink = calibration.wei_downlink_sigma(
        epsilon=config.downlink_epsilon,
        rounds=config.rounds,
        num_clients=config.clients_in_a_round,
        **common,
      )
    seed = None
    if config.draws_noise:
      seed = config.noise_seed
      if seed < 0:
        stored = (manifest or {}).get("seeds", {}).get("noise_seed")
        seed = keys.drawn_seed() if stored is None else stored
    mechanism = None
    if config.mechanism_asked:
      sizes = tuple(client_images) or (min_images,) * config.num_clients
      mechanism = private.mechanism(config, sizes, largest_patient, seed)
      uplink = mechanism.upload_sigma
    return cls(uplink, downlink, config, min_images, seed, mechanism)

  @classmethod
  def of_data(
    cls, config: Config, prepared: Prepared, manifest: Mapping[str, Any] | None = None
  ) -> "Noise":
    """The same for the clients and patients of prepared data."""
    return cls.from_config(
      config,
      prepared.min_images,
      manifest,
      client_images=[len(rows) for rows in prepared.clients],
      largest_patient=prepared.largest_patient,
    )

  @property
  def upload_clip(self) -> float:
    """Norm to which uploads are clipped; 0 for none."""
    return self.mechanism.upload_clip if self.mechanism else self.config.clip_norm

  def private_statement(self, rounds: int) -> PrivacyStatement:
    """What is guaranteed after `rounds` rounds, for `privacy.json`."""
    made = self.mechanism or private.by_older_flags(
      self.config, self.min_images, self.uplink_sigma
    )
    return private.statement(self.config, made, rounds)

  def facts(self, rounds: int, planned: int) -> dict[str, Any]:
    """Contents of `privacy.json` after `rounds` of `planned` rounds."""
    return {
      "rounds": rounds,
      "planned_rounds": planned,
      "now": self.private_statement(rounds).to_json(),
      "planned": self.private_statement(planned).to_json(),
      "seed_in_run_folder": self.seed is not None,
    }

  def epsilon(self, rounds: int) -> float | None:
    """Provable epsilon after `rounds` rounds; None where no statement can be made."""
    config = self.config
    if self.mechanism:
      epsilon = self.mechanism.account(rounds).epsilon
      return epsilon if math.isfinite(epsilon) else None
    if config.central_dp:
      return accounting.central_epsilon(
        noise_multiplier=config.dp_noise_multiplier, rounds=rounds, delta=config.uplink_delta
      )
    if self.uplink_sigma > 0 and config.clip_norm > 0:
      return accounting.provable_epsilon(
        sigma=self.uplink_sigma,
        clip_norm=config.clip_norm,
        uploads=rounds,
        delta=config.uplink_delta,
      )
    return None

  def paper_epsilon(self, rounds: int) -> float | None:
    """The paper's nominal epsilon after `rounds` uploads; None without clipped, noised uploads."""
    config = self.config
    if self.mechanism and self.mechanism.nominal_epsilon is None:
      return None
    if not (self.uplink_sigma > 0 and config.clip_norm > 0):
      return None
    exposures = min(rounds, config.effective_exposures) or 1
    value = calibration.paper_epsilon(
      sigma=self.uplink_sigma,
      delta=config.uplink_delta,
      clip_norm=config.clip_norm,
      min_images=self.min_images,
      exposures=exposures,
    )
    return value if math.isfinite(value) else None

  def statement(self, rounds: int) -> list[str]:
    """Sentences on what the noise guarantees after `rounds` rounds."""
    lines = self.private_statement(rounds).sentences() if self.mechanism else []
    if self.mechanism and not self.downlink_sigma:
      older = []
    else:
      older = accounting.statement(
        uplink_sigma=0.0 if self.mechanism else self.uplink_sigma,
        clip_norm=self.config.clip_norm,
        uploads=rounds,
        min_images=self.min_images,
        exposures=self.config.effective_exposures,
        delta=self.config.uplink_delta,
        downlink_sigma=self.downlink_sigma,
        central_noise_multiplier=self.config.dp_noise_multiplier if self.config.central_dp else 0.0,
      )
    lines += older
    if self.seed is None:
      return lines
    if self.config.noise_seed < 0:
      origin = "was drawn from the system's entropy and lies in the run folder, to continue with"
    else:
      origin = "was given by --noise_seed, so that the run can be repeated"
    return [*lines, f"The seed of this noise {origin}: whoever reads it can subtract the noise."]
