"""Settings of the federated training: rounds, local steps, uploads, aggregation."""

import dataclasses

from fedsafe_tff import lazy
from fedsafe_tff.data.limits import MOST
from fedsafe_tff.learning.registry import AGGREGATORS, ALGORITHMS
from fedsafe_tff.runs.config.setting import setting


def _ours(config: "TrainingConfig") -> bool:
  return config.algorithm == "fedsafe"


_CENTRAL_DP = tuple(name for name, aggregator in AGGREGATORS.items() if aggregator.central_dp)
_OURS = {"applies": _ours, "needs": "--algorithm=fedsafe"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
  """Federated training."""

  algorithm: str = setting(
    "fedsafe",
    "fedsafe is Algorithm 1; the others are TFF's own, on the same model and data.",
    choices=("fedsafe", *ALGORITHMS),
  )
  rounds: int = setting(10, "Federated rounds T.", low=1, high=MOST)
  clients_per_round: int = setting(
    0,
    "How many clients take part in a round, drawn anew by --seed; 0: all. All receive the last "
    "model, and privacy is accounted as if all had taken part in every round.",
    low=0,
    high=MOST,
  )
  local_epochs: int = setting(1, "Local epochs E of a client in a round.", low=1, high=MOST)
  batch_size: int = setting(32, "Local batch size.", low=1, high=MOST)
  learning_rate: float = setting(0.02, "Local SGD learning rate.", low=0.0, low_open=True)
  learning_rate_schedule: str = setting(
    "constant",
    "Learning rate over the rounds; cosine falls from the full rate to zero.",
    choices=("constant", "cosine"),
    **_OURS,
  )
  momentum: float = setting(0.0, "Momentum of local SGD.", low=0.0, high=1.0, high_open=True)
  gradient_clip: float = setting(
    0.0,
    "L2 norm to which the gradient of each SGD step, local and in adaptation, is scaled down; 0 "
    "leaves it. A few large first steps can kill the CNN's narrow last layers for good.",
    low=0.0,
    **_OURS,
  )
  weight_decay: float = setting(
    0.0,
    "Share of each kernel that is added to its gradient in local steps (docs/recipe.md says what "
    "it is worth).",
    low=0.0,
    **_OURS,
  )
  prox_mu: float = setting(
    0.01,
    "Strength of FedProx's proximal term.",
    low=0.0,
    applies=lambda c: c.algorithm == "tff_fed_prox",
    needs="--algorithm=tff_fed_prox",
  )
  upload: str = setting(
    "weights",
    "What a client clips, noises and uploads: its weights (the paper) or its update, that is "
    "the weights less the copy it received.",
    choices=("weights", "update"),
    **_OURS,
  )
  clip_norm: float = setting(
    0.0,
    "Clipping norm C of an upload, or of what --privacy clips; 0 does not clip.",
    low=0.0,
    applies=lambda c: c.algorithm in ("fedsafe", "tff_dp_fed_avg"),
    needs="--algorithm=fedsafe or tff_dp_fed_avg",
  )
  uplink_sigma: float = setting(
    0.0,
    "Standard deviation of the Gaussian noise on each uploaded coordinate.",
    low=0.0,
    **_OURS,
  )
  uplink_epsilon: float = setting(
    0.0,
    "If above 0, --uplink_sigma is computed from this nominal epsilon: c L (2C/m) / epsilon.",
    low=0.0,
    **_OURS,
  )
  uplink_delta: float = setting(
    1e-5,
    "delta of every privacy statement.",
    low=0.0,
    low_open=True,
    high=1.0,
    high_open=True,
    applies=lambda c: (
      c.accounted_uploads or c.calibrated_downlink or c.central_dp or c.mechanism_asked
    ),
    needs="noise with an accounting (--privacy, --clip_norm with --uplink_sigma or "
    "--uplink_epsilon, --downlink_epsilon or central DP)",
  )
  exposures: int = setting(
    0,
    "Exposures L of an upload in the paper's formulas; 0: the number of rounds.",
    low=0,
    applies=lambda c: (
      c.accounted_uploads
      or c.calibrated_downlink
      or (c.mechanism_asked and c.privacy in ("paper", "output"))
    ),
    needs="--clip_norm with --uplink_sigma or --uplink_epsilon, --downlink_epsilon, or "
    "--privacy=paper or output",
  )
  aggregator: str = setting(
    "mean",
    f"How uploads are aggregated. {lazy.helps(AGGREGATORS)}. All but mean are TFF's own.",
    choices=tuple(AGGREGATORS),
    **_OURS,
  )
  not_finite: str = setting(
    "stop",
    "What a client whose upload is not finite does: stop ends the run, with the last good "
    "checkpoint kept; leave_out names and counts it, and the round's mean is that of the others.",
    choices=("stop", "leave_out"),
    applies=lambda c: c.algorithm == "fedsafe" and c.aggregator == "mean",
    needs="--algorithm=fedsafe with --aggregator=mean",
  )
  dp_noise_multiplier: float = setting(
    1.0,
    "Noise multiplier of central DP: noise at the server over the clipping norm.",
    low=0.0,
    low_open=True,
    applies=lambda c: c.central_dp,
    needs=f"--aggregator={lazy.listed(_CENTRAL_DP)}, or --algorithm=tff_dp_fed_avg",
  )

  @property
  def central_dp(self) -> bool:
    """Whether noise is added once, at the server, by a TFF DP aggregator."""
    if self.algorithm == "fedsafe":
      return self.aggregator in _CENTRAL_DP
    return self.algorithm == "tff_dp_fed_avg"

  @property
  def accounted_uploads(self) -> bool:
    """Whether uploads are clipped too, without which their noise guarantees nothing."""
    return self.noised_uploads and self.clip_norm > 0

  @property
  def noised_uploads(self) -> bool:
    """Whether the clients add noise to what they upload."""
    return self.algorithm == "fedsafe" and (self.uplink_sigma > 0 or self.uplink_epsilon > 0)
