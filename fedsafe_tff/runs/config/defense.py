"""Settings of the defence: adaptation at the server, adversarial training, downlink noise."""

import dataclasses

from fedsafe_tff import lazy
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.data.limits import MOST
from fedsafe_tff.runs.config.setting import setting
from fedsafe_tff.training.registry import DEFENSES, PARTS, Defense, defense_of, having

LOCAL_LOSSES = ("cross_entropy", "trades", "mart")  # of `training.robust_loss`
_ADAPTING = {
  "applies": lambda c: c.adapts or c.heals_copies,
  "needs": f"--defense={having('adaptation')} or healed",
}
_ITERATED = {
  "applies": lambda c: (c.adapts or c.heals_copies) and ATTACKS[c.adaptation_attack].iterates,
  "needs": _ADAPTING["needs"] + ", with an --adaptation_attack that takes steps",
}
_LOCAL = {
  "applies": lambda c: c.trains_robustly,
  "needs": f"--defense={having('gradient')}",
}
# DP-SGD makes examples too, but neither with these losses nor at other weights.
_LOCAL_STEP = {
  "applies": lambda c: c.trains_robustly and not c.steps_privately,
  "needs": _LOCAL["needs"] + ", without --privacy=dp_sgd",
}
_NOISY = {
  "applies": lambda c: c.noisy_downlink,
  "needs": f"--defense={having('copies')}",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenseConfig:
  """Defence."""

  defense: str = setting(
    "none",
    f"Defence. {lazy.helps(DEFENSES)}. Or parts, joined by +, such as local+adaptation: "
    f"{lazy.helps(PARTS)}. Or your own, PATH/file.py:factory, where factory returns a "
    "fedsafe_tff.training.Defense.",
  )
  adaptation_attack: str = setting(
    "pgd",
    "Attack that makes the server's adversarial examples.",
    choices=tuple(ATTACKS),
    **_ADAPTING,
  )
  adaptation_eps: float = setting(
    0.03,
    "Size of the perturbation in adaptation, in pixels of [0, 1].",
    low=0.0,
    high=1.0,
    **_ADAPTING,
  )
  adaptation_steps: int = setting(6, "Its steps.", low=1, **_ITERATED)
  adaptation_step_size: float = setting(
    0.0, "Size of its steps; 0: eps / steps.", low=0.0, high=1.0, **_ITERATED
  )
  adaptation_random_start: bool = setting(
    True, "Start it at a random point of the ball.", **_ITERATED
  )
  adaptation_epochs: int = setting(
    5, "Epochs of fine-tuning on clean and adversarial examples.", low=1, high=MOST, **_ADAPTING
  )
  adaptation_learning_rate: float = setting(
    0.01, "SGD learning rate of the fine-tuning.", low=0.0, low_open=True, **_ADAPTING
  )
  adaptation_batch_size: int = setting(
    32,
    "Clean images in a fine-tuning batch; as many adversarial ones join them.",
    low=1, high=MOST,
    **_ADAPTING,
  )
  adaptation_examples: str = setting(
    "once",
    "once: examples made once with the aggregated model (Algorithm 1); each_epoch: made anew "
    "with the current weights before every epoch; iterated: train on the images and all examples "
    "found so far, and look for new ones, until there are none (the paper's proof).",
    choices=("once", "each_epoch", "iterated"),
    **_ADAPTING,
  )
  adaptation_passes: int = setting(
    8,
    "Passes of --adaptation_epochs epochs at most; the server keeps so many times its images.",
    low=1,
    applies=lambda c: (c.adapts or c.heals_copies) and c.adaptation_examples == "iterated",
    needs="--adaptation_examples=iterated, with adaptation at the server or of copies",
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
    0,
    "Adapt every k rounds; 0: once, after the last round (Algorithm 1).",
    low=0,
    applies=lambda c: c.adapts,
    needs=f"--defense={having('adaptation')}",
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
  local_attack_noise: float = setting(
    0.0,
    "Where a single step starts: at uniform noise of up to so many perturbation sizes, with which "
    "the step stays (N-FGSM; de Jorge et al.). 0 is FGSM.",
    low=0.0,
    applies=lambda c: _LOCAL_STEP["applies"](c) and c.local_attack_steps == 1,
    needs=_LOCAL_STEP["needs"] + ", with --local_attack_steps=1",
  )
  local_loss: str = setting(
    "cross_entropy",
    "Loss of local adversarial training: cross_entropy (Madry et al.), trades (Zhang et al.) or "
    "mart (Wang et al.).",
    choices=LOCAL_LOSSES,
    **_LOCAL_STEP,
  )
  local_loss_beta: float = setting(
    3.0,
    "Weight of its term of robustness.",
    low=0.0,
    applies=lambda c: _LOCAL_STEP["applies"](c) and c.local_loss != "cross_entropy",
    needs="--local_loss=trades or mart",
  )
  local_weight_sigma: float = setting(
    0.0,
    "Standard deviation of the noise on the weights at which local adversarial training takes its "
    "gradients, so that the loss is flat around the model.",
    low=0.0,
    **_LOCAL_STEP,
  )
  local_weight_ascent: float = setting(
    0.0,
    "Adversarial weight perturbation (AWP): share of each tensor's norm by which the weights are "
    "moved up the loss before the gradient is taken, after the warm-up.",
    low=0.0,
    **_LOCAL_STEP,
  )
  local_attack_start: float = setting(
    0.0,
    "Share of the rounds that train on clean images, before the warm-up: a network that meets "
    "perturbations before it has learnt anything may never learn.",
    low=0.0,
    high=0.9,
    **_LOCAL,
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
    "How the copies for use are made. select: federated_select, noise added at the server; map: "
    "broadcast, the same bits drawn at the client (simulation only: a client that knows the seed "
    "can remove them), as in training rounds with --downlink_schedule=every.",
    choices=("select", "map"),
    **_NOISY,
  )

  @property
  def parts(self) -> Defense:
    """What the defence is made of."""
    return defense_of(self.defense)

  @property
  def adapts(self) -> bool:
    """Whether the server adapts the global model on adversarial examples."""
    return self.parts.adaptation is not None

  @property
  def heals_copies(self) -> bool:
    """Whether the server adapts each client's copy on adversarial examples."""
    return self.parts.adapts_copies

  @property
  def trains_robustly(self) -> bool:
    """Whether the clients' local steps follow another gradient than the plain one."""
    return self.parts.gradient is not None

  @property
  def noisy_downlink(self) -> bool:
    """Whether every client receives its own noised copy."""
    return self.parts.copies is not None

  @property
  def calibrated_downlink(self) -> bool:
    """Whether the downlink noise is computed from --downlink_epsilon."""
    return self.noisy_downlink and self.downlink_epsilon > 0
