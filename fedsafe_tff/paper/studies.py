"""The studies of `experiments.ablation`: what varies, and for which methods."""

import dataclasses
from typing import Any

from fedsafe_tff.paper.claim import DEFENDED

SIZES = (0.012, 0.05)
_ALL = ("none", *DEFENDED)
_LOCAL = ("local_adversarial_training",)


@dataclasses.dataclass(frozen=True)
class Variant:
  """One value of what varies.

  Attributes:
    name: Its name in tables.
    changes: The settings.
    methods: Whom it concerns.
    dp: Whether uploads are clipped and noised; None takes what was asked for.
    eps_scale: What a size is multiplied by to give pixels of [0, 1].
    scales_adaptation: Whether the size of the adaptation's examples is in these units too.
    rounds: How many times as many rounds.
  """

  name: str
  changes: dict[str, Any] = dataclasses.field(default_factory=dict)
  methods: tuple[str, ...] = _ALL
  dp: bool | None = None
  eps_scale: float = 1.0
  scales_adaptation: bool = False
  rounds: float = 1


# The others keep a preset's own smallest client, and so share its trainings.
_SMALL = {"min_client_images": 5}
# At the presets' rates a network that has no clipping of gradients dies in the first round.
_RATE = {"learning_rate": 0.01}
_CONSTANT = {
  **_RATE, "learning_rate_schedule": "constant", "gradient_clip": 0.0, "weight_decay": 0.0
}  # fmt: skip

STUDIES: dict[str, tuple[str, tuple[Variant, ...]]] = {
  "split": (
    "What the leak of the published split is worth: its test images have copies in training.",
    tuple(Variant(name, {"split": name}) for name in ("grouped", "published")),
  ),
  "clients": (
    "The number of clients.",
    (
      Variant("3 clients", {"num_clients": 3}),
      *(Variant(f"{count} clients", {"num_clients": count, **_SMALL}) for count in (10, 30)),
    ),
  ),
  "dirichlet": (
    "How far from IID the clients are: a small alpha is far. Draws in which a client has fewer "
    "than 5 images are drawn anew, so that the smallest alpha is a little milder than it says.",
    (
      Variant("alpha 10", {"partition": "dirichlet", "dirichlet_alpha": 10.0}),
      *(
        Variant(f"alpha {a:g}", {"partition": "dirichlet", "dirichlet_alpha": a, **_SMALL})
        for a in (0.5, 0.1)
      ),
    ),
  ),
  "sigma": (
    "The downlink noise, with and without adaptation, beside adaptation without noise.",
    tuple(
      Variant(f"sigma {s:g}", {"downlink_sigma": s}, (*DEFENDED, "noise_only"))
      for s in (0.001, 0.003, 0.01, 0.02, 0.03)
    ),
  ),
  "collusion": (
    "How many of ten clients pool their noised copies and attack the mean of them: the noise is "
    "drawn once, and an average has less of it. avg is over the clients outside of the coalition.",
    tuple(
      Variant(
        f"{count} together" if count > 1 else "alone",
        {"num_clients": 10, **_SMALL, "attack_colluders": count},
        ("distributed_noise", "noise_only"),
      )
      for count in (1, 2, 5, 9)
    ),
  ),
  "examples": (
    "The server's adversarial examples: made once, with the aggregated model, as in Algorithm 1; "
    "anew with the current weights before every epoch, as in adversarial training elsewhere; or "
    "collected until the attack finds no new one, as in the paper's proof.",
    tuple(
      Variant(name.replace("_", " "), {"adaptation_examples": name}, DEFENDED)
      for name in ("once", "each_epoch", "iterated")
    ),
  ),
  "local_training": (
    "Adversarial training at the clients (Eq. 5), one setting at a time, for tasks such as "
    "meningioma and glioma whose presets train so; beside the preset's stands the same network "
    "undefended. What a preset has already is left out.",
    (
      Variant("the preset's", methods=("none", *_LOCAL)),
      *(Variant(name, changes, _LOCAL) for name, changes in (
        ("cross-entropy", {"local_loss": "cross_entropy"}),
        ("TRADES", {"local_loss": "trades"}),
        ("MART", {"local_loss": "mart"}),
        ("AWP 0.005", {"local_weight_ascent": 0.005}),
        ("noised weights 0.01", {"local_weight_sigma": 0.01}),
        ("no warm-up", {"local_attack_warmup": 0.0}),
        ("FGSM", {"local_attack_steps": 1, "local_attack_noise": 0.0}),
        ("N-FGSM", {"local_attack_steps": 1, "local_attack_noise": 1.0}),
        ("2 steps", {"local_attack_steps": 2}),
        ("7 steps", {"local_attack_steps": 7}),
        ("no weight decay", {"weight_decay": 0.0}),
        *((f"weight decay {decay:g}", {"weight_decay": decay}) for decay in (0.001, 0.003, 0.01)),
        ("gn_cnn", {"model": "gn_cnn"}),
        ("gn_silu_cnn", {"model": "gn_silu_cnn"}),
        ("the paper's network", {"model": "cnn"}),
        ("wider network", {"conv_widths": "16,16,64,64,128,128"}),
        *((f"rate {rate:g}", {"learning_rate": rate}) for rate in (0.05, 0.1, 0.2)),
        ("a single view", {"test_time_augment": ""}),
        ("2 views", {"test_time_augment": "flip"}),
        ("4 views", {"test_time_augment": "rot90"}),
      )),
      Variant("half the rounds", methods=_LOCAL, rounds=0.5),
      Variant("twice the rounds", methods=_LOCAL, rounds=2),
    ),
  ),
  "compute_dtype": (
    "The type that training, adaptation and attacks compute in; weights and logits are float32.",
    tuple(Variant(name, {"compute_dtype": name}) for name in ("float32", "bfloat16")),
  ),
  "steps": (
    "The steps of the PGD attack; each is eps / steps, so that more are shorter ones, or of one "
    "length, so that more steps lead further.",
    (
      *(Variant(f"{n} steps", {"attack_steps": n}) for n in (1, 6, 10, 20, 40)),
      *(
        Variant(f"{n} steps of 0.003", {"attack_steps": n, "attack_step_size": 0.003})
        for n in (10, 20, 40)
      ),
    ),
  ),
  "eps_units": (
    "What the paper's eps may have meant: pixels of [0, 1]; units of images scaled to [-1, 1] or "
    "divided by a standard deviation of 0.225, where the same number is less (of the server's "
    "examples too); or the step of a PGD attack of 10 steps, where it is more.",
    (
      Variant("pixels"),
      Variant("of [-1, 1]", eps_scale=0.5, scales_adaptation=True),
      Variant("of standard deviations", eps_scale=0.225, scales_adaptation=True),
      Variant("size of a step", {"attack_steps": 10}, eps_scale=10.0),
    ),
  ),
  "uplink": (
    "The noise on clipped uploads.",
    (
      Variant("no DP", dp=False),
      *(
        Variant(f"uplink sigma {s:g}", {"uplink_sigma": s, "uplink_epsilon": 0.0}, dp=True)
        for s in (0.0005, 0.001, 0.002, 0.005)
      ),
    ),
  ),
  "dp_fed_avg": (
    "TFF's DP-FedAvg (central noise on clipped updates) beside the paper's noise at the clients, "
    "both without a defence and with the settings that both have: a constant rate (0.01), no "
    "clipping of gradients, no weight decay. The noise multiplier is that over the clipping norm "
    "1.",
    (
      Variant("no DP", _CONSTANT, ("none",), dp=False),
      Variant("clients' noise", _CONSTANT, ("none",), dp=True),
      Variant("TFF, no DP", {**_RATE, "algorithm": "tff_fed_avg"}, ("none",), dp=False),
      *(
        Variant(
          f"TFF, multiplier {z:g}",
          {**_RATE, "algorithm": "tff_dp_fed_avg", "clip_norm": 1.0, "dp_noise_multiplier": z},
          ("none",),
          dp=False,
        )
        for z in (0.01, 0.1, 1.0)
      ),
    ),
  ),
}
