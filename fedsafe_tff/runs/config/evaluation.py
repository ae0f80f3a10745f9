"""Settings of the attacks with which the trained models are evaluated."""

import dataclasses

from fedsafe_tff.runs.config.setting import setting


def _pgd(config: "EvaluationConfig") -> bool:
  return "pgd" in config.attacks.split(",")


_PGD = {"applies": _pgd, "needs": "pgd among --attacks"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
  """Attacks and evaluation."""

  attacks: str = setting("fgsm,pgd", "Comma-separated attacks: fgsm, pgd.")
  attack_eps: tuple[float, ...] = setting(
    (0.005, 0.012, 0.017, 0.03, 0.05),
    "Comma-separated perturbation sizes, in pixels of [0, 1].",
    low=0.0,
    high=1.0,
  )
  attack_steps: int = setting(10, "PGD steps.", low=1, **_PGD)
  attack_step_size: float = setting(0.0, "PGD step; 0: eps / steps.", low=0.0, high=1.0, **_PGD)
  attack_random_start: bool = setting(False, "Start PGD at a random point of the ball.", **_PGD)
  attack_restarts: int = setting(
    1,
    "PGD restarts; the image with the highest loss counts.",
    low=1,
    applies=lambda c: _pgd(c) and c.attack_random_start,
    needs="--attack_random_start",
  )
  attack_colluders: int = setting(
    1,
    "How many clients pool their copies: the attack is made on the mean of them, and avg is over "
    "the clients outside of the coalition.",
    low=1,
    applies=lambda c: c.noisy_downlink and c.num_clients > 1,
    needs="--defense=distributed_noise or noise_only, and more than one client",
  )
  attack_labels: str = setting(
    "true",
    "Labels that the adversary uses: the true ones or the model's own.",
    choices=("true", "predicted"),
  )
  attack_images: int = setting(0, "How many evaluation images are attacked; 0: all of them.", low=0)
  attack_worst_case: bool = setting(
    False,
    "Also report, for each size, the share of labels that any attack flips at any of its steps "
    "on the adversary's own copy; a fooled image is not attacked any further.",
  )
  evaluation_batch_size: int = setting(64, "Batch size of attacks and evaluation.", low=1)
