"""Settings of privacy: the mechanism, what it is to guarantee, and when to stop."""

import dataclasses

from fedsafe_tff.privacy.mechanisms.registry import MECHANISMS
from fedsafe_tff.runs.config.setting import setting

# They noise the clients' updates as the server adds them up.
AGGREGATING = ("central", "tree", "distributed")
_PRIVATE = {
  "applies": lambda c: c.mechanism_asked,
  "needs": "--privacy and --algorithm=fedsafe",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
  """Privacy."""

  privacy: str = setting(
    "none",
    "Mechanism, with --clip_norm as its norm C. paper, output: noise on uploads, by the paper's "
    "formula or by the sensitivity that is provable; dp_sgd: clipped and noised gradients of local "
    "training on Poisson batches; central, tree: noise at the server (DP-FedAvg, DP-FTRL); "
    "distributed: discrete noise at the clients under a simulated secure sum. docs/privacy.md "
    "tells what each guarantees to whom.",
    choices=("none", *MECHANISMS),
    applies=lambda c: c.algorithm == "fedsafe",
    needs="--algorithm=fedsafe",
  )
  target_epsilon: float = setting(
    0.0,
    "Epsilon that all rounds together may cost; solves for the noise. paper takes it for the "
    "nominal epsilon of its formula.",
    low=0.0,
    **_PRIVATE,
  )
  noise_multiplier: float = setting(
    0.0,
    "Noise over --clip_norm, in the place of --target_epsilon.",
    low=0.0,
    **_PRIVATE,
  )
  dp_clip: str = setting(
    "fixed",
    "Whether --clip_norm stays, or is only where the norm begins that follows the median of the "
    "norms that it clips; that median has noise, which is counted. dp_sgd begins anew each round.",
    choices=("fixed", "adaptive"),
    applies=lambda c: c.mechanism_asked and c.privacy in ("dp_sgd", "central"),
    needs="--privacy=dp_sgd or central",
  )
  dp_microbatches: int = setting(
    0,
    "Into how many microbatches the images of a batch of dp_sgd are dealt, each clipped as one, at "
    "twice the noise; 0: each image by itself.",
    low=0,
    applies=lambda c: c.mechanism_asked and c.privacy == "dp_sgd",
    needs="--privacy=dp_sgd",
  )
  privacy_level: str = setting(
    "record",
    "Whom dp_sgd protects: an image, or all images of a patient, where patients are named.",
    choices=("record", "patient"),
    applies=lambda c: c.mechanism_asked and c.privacy == "dp_sgd",
    needs="--privacy=dp_sgd",
  )
  stop_at_epsilon: float = setting(
    0.0,
    "Train as many rounds as stay within this provable epsilon, --rounds at most; schedules end "
    "with the last of them. 0: all rounds.",
    low=0.0,
    applies=lambda c: c.mechanism_asked or c.accounted_uploads or c.central_dp,
    needs="noise with an accounting, such as --privacy",
  )

  @property
  def mechanism_asked(self) -> bool:
    """Whether one of `privacy`'s mechanisms is asked for by its name."""
    return self.algorithm == "fedsafe" and self.privacy != "none"

  @property
  def steps_privately(self) -> bool:
    """Whether DP-SGD makes the gradient of the clients' local steps."""
    return self.mechanism_asked and self.privacy == "dp_sgd"
