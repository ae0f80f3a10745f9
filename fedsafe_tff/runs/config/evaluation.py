"""Settings of the attacks with which the trained models are evaluated."""

import dataclasses

from fedsafe_tff import lazy
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.data.limits import MOST
from fedsafe_tff.runs.config.setting import setting
from fedsafe_tff.training.registry import having

_ITERATED = lazy.listed(name for name, attack in ATTACKS.items() if attack.iterates)

SUITES = ("paper", "standard", "strong")  # "paper" is what older runs had, which name none


def _paper(config: "EvaluationConfig") -> bool:
  return config.evaluation == "paper"


def _iterates(config: "EvaluationConfig") -> bool:
  return _paper(config) and any(ATTACKS[name].iterates for name in config.attacks.split(","))


_PAPER = {"applies": _paper, "needs": "--evaluation=paper"}
_STEPS = {"applies": _iterates, "needs": f"{_ITERATED} among --attacks, with --evaluation=paper"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
  """Attacks and evaluation."""

  evaluation: str = setting(
    "standard",
    "Which attacks: paper as published, each as the flags below say; standard the worst, image by "
    "image, of PGD-20 from random starts with two step sizes, on cross-entropy and margin; strong "
    "the worst of all attackers, who know the defence, on 100 images unless --attack_images says "
    "otherwise.",
    choices=SUITES,
  )
  attacks: str = setting(
    "fgsm,pgd", f"Comma-separated attacks: {', '.join(ATTACKS)}.", **_PAPER
  )
  attack_eps: tuple[float, ...] = setting(
    (0.005, 0.012, 0.017, 0.03, 0.05),
    "Comma-separated perturbation sizes, in pixels of [0, 1].",
    low=0.0,
    high=1.0,
  )
  attack_steps: int = setting(
    10, "Steps of an iterated attack; the most queries of square.", low=1, high=MOST, **_STEPS
  )
  attack_step_size: float = setting(
    0.0, "Size of its steps; 0: eps / steps.", low=0.0, high=1.0, **_STEPS
  )
  attack_random_start: bool = setting(False, "Start it at a random point of the ball.", **_STEPS)
  attack_restarts: int = setting(
    1,
    "Restarts; the image with the highest loss counts.",
    low=1,
    applies=lambda c: _iterates(c) and c.attack_random_start,
    needs="--attack_random_start, with --evaluation=paper",
  )
  attack_colluders: int = setting(
    1,
    "How many clients pool their copies: the attack is made on the mean of them, and avg is over "
    "the clients outside of the coalition.",
    low=1,
    applies=lambda c: c.noisy_downlink and c.num_clients > 1,
    needs=f"--defense={having('copies')}, and more than one client",
  )
  attack_labels: str = setting(
    "true",
    "Labels that the adversary uses: the true ones or the model's own.",
    choices=("true", "predicted"),
  )
  attack_images: int = setting(
    0, "How many evaluation images are attacked; 0: all of them, under strong 100.", low=0
  )
  attack_worst_case: bool = setting(
    False,
    "Also report, for each size, the share of labels that any attack flips at any of its steps "
    "on the adversary's own copy; a fooled image is not attacked any further.",
    **_PAPER,
  )
  attack_clients: int = setting(
    50,
    "Of more clients than this a sample of so many, drawn by --seed, attack and are attacked, each "
    "by each; rates then have an interval. 0: all; the cost grows with the square of their number.",
    low=0,
    high=MOST,
  )
  evaluation_batch_size: int = setting(
    64, "Batch size of attacks and evaluation.", low=1, high=MOST
  )
