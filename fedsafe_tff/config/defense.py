"""Settings of the defence: adaptation at the server, adversarial training, downlink noise."""

import dataclasses

from fedsafe_tff.config.setting import setting

DEFENSES = (
  "none",
  "local_adversarial_training",
  "server_adversarial_training",
  "distributed_noise",
  "noise_only",
)
_ADAPTING = {
  "applies": lambda c: c.adapts,
  "needs": "--defense=server_adversarial_training or distributed_noise",
}
_ADAPTING_BY_PGD = {
  "applies": lambda c: c.adapts and c.adaptation_attack == "pgd",
  "needs": _ADAPTING["needs"] + ", with --adaptation_attack=pgd",
}
_LOCAL = {
  "applies": lambda c: c.defense == "local_adversarial_training",
  "needs": "--defense=local_adversarial_training",
}
_NOISY = {
  "applies": lambda c: c.noisy_downlink,
  "needs": "--defense=distributed_noise or noise_only",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenseConfig:
  """Defence."""

  defense: str = setting(
    "none",
    "distributed_noise is the paper's method: adaptation at the server, then an independently "
    "noised copy for every client.",
    choices=DEFENSES,
  )
  adaptation_attack: str = setting(
    "pgd",
    "Attack that makes the server's adversarial examples.",
    choices=("fgsm", "pgd"),
    **_ADAPTING,
  )
  adaptation_eps: float = setting(
    0.03,
    "Size of the perturbation in adaptation, in pixels of [0, 1].",
    low=0.0,
    high=1.0,
    **_ADAPTING,
  )
  adaptation_steps: int = setting(6, "PGD steps in adaptation.", low=1, **_ADAPTING_BY_PGD)
  adaptation_step_size: float = setting(
    0.0, "PGD step in adaptation; 0: eps / steps.", low=0.0, high=1.0, **_ADAPTING_BY_PGD
  )
  adaptation_random_start: bool = setting(
    True, "Start PGD in adaptation at a random point of the ball.", **_ADAPTING_BY_PGD
  )
  adaptation_epochs: int = setting(
    5, "Epochs of fine-tuning on clean and adversarial examples.", low=1, **_ADAPTING
  )
  adaptation_learning_rate: float = setting(
    0.01, "SGD learning rate of the fine-tuning.", low=0.0, low_open=True, **_ADAPTING
  )
  adaptation_batch_size: int = setting(
    32,
    "Clean images in a fine-tuning batch; as many adversarial ones join them.",
    low=1,
    **_ADAPTING,
  )
  adaptation_examples: str = setting(
    "once",
    "once: examples made once with the aggregated model (Algorithm 1); each_epoch: made anew "
    "with the current weights before every epoch.",
    choices=("once", "each_epoch"),
    **_ADAPTING,
  )
  adaptation_share: float = setting(
    1.0,
    "Share of the server's images that adaptation uses.",
    low=0.0,
    low_open=True,
    high=1.0,
    **_ADAPTING,
  )
  adaptation_every: int = setting(
    0, "Adapt every k rounds; 0: once, after the last round (Algorithm 1).", low=0, **_ADAPTING
  )
  local_attack_eps: float = setting(
    0.03,
    "Perturbation in local adversarial training, in pixels of [0, 1].",
    low=0.0,
    high=1.0,
    **_LOCAL,
  )
  local_attack_steps: int = setting(
    3, "PGD steps in local adversarial training; 1 is FGSM.", low=1, **_LOCAL
  )
  local_attack_warmup: float = setting(
    0.3,
    "Share of the rounds over which the perturbation grows to its full size; it has that in the "
    "last quarter of the rounds whatever the share, and always where there are fewer than four.",
    low=0.0,
    high=1.0,
    **_LOCAL,
  )
  downlink_sigma: float = setting(
    0.01,
    "Standard deviation of the noise on each weight of a client's copy.",
    low=0.0,
    applies=lambda c: c.noisy_downlink and c.downlink_epsilon == 0,
    needs=_NOISY["needs"] + ", without --downlink_epsilon",
  )
  downlink_epsilon: float = setting(
    0.0,
    "If above 0, --downlink_sigma is computed from it by the formula of Wei et al.",
    low=0.0,
    **_NOISY,
  )
  downlink_schedule: str = setting(
    "last",
    "Noise on the last distribution only (Algorithm 1) or in every round.",
    choices=("last", "every"),
    **_NOISY,
  )
  downlink: str = setting(
    "select",
    "select: federated_select, noise added at the server; map: broadcast, the same bits drawn "
    "at the client (simulation only: a client that knows the seed can remove them).",
    choices=("select", "map"),
    **_NOISY,
  )

  @property
  def adapts(self) -> bool:
    """Whether the server adapts the global model on adversarial examples."""
    return self.defense in ("server_adversarial_training", "distributed_noise")

  @property
  def noisy_downlink(self) -> bool:
    """Whether every client receives its own noised copy."""
    return self.defense in ("distributed_noise", "noise_only")

  @property
  def calibrated_downlink(self) -> bool:
    """Whether the downlink noise is computed from --downlink_epsilon."""
    return self.noisy_downlink and self.downlink_epsilon > 0
