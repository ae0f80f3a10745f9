"""The flat, frozen `Config` of a run, its checks and its comparison with another."""

import dataclasses
from typing import Any

from fedsafe_tff import users_code
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning.registry import AGGREGATORS
from fedsafe_tff.runs.config.data import DataConfig
from fedsafe_tff.runs.config.defense import DefenseConfig
from fedsafe_tff.runs.config.evaluation import EvaluationConfig
from fedsafe_tff.runs.config.model import ModelConfig
from fedsafe_tff.runs.config.privacy import AGGREGATING, PrivacyConfig
from fedsafe_tff.runs.config.run import RunConfig
from fedsafe_tff.runs.config.setting import setting_of
from fedsafe_tff.runs.config.training import TrainingConfig

GROUPS = (
  DataConfig,
  ModelConfig,
  TrainingConfig,
  PrivacyConfig,
  DefenseConfig,
  EvaluationConfig,
  RunConfig,
)

# What older configurations, which don't have these settings, stand for.
BEFORE = {
  "evaluation": "paper",
  "runtime": "native",
  "not_finite": "stop",
  "attack_clients": 50,
  "clients_per_round": 0,
  "local_attack_noise": 0.0,
  "weight_decay": 0.0,
  "test_time_augment": "",
  "trainable": "all",
  "dp_clip": "fixed",
  "dp_microbatches": 0,
  "adaptation_passes": 8,
  "local_loss": "cross_entropy",
  "local_loss_beta": 3.0,
  "local_weight_sigma": 0.0,
  "local_weight_ascent": 0.0,
  "local_attack_start": 0.0,
}
# They say where a run lives and how much it keeps or takes, not what it computes.
_NOT_COMPARED = (
  "run_dir",
  "cache_dir",
  "data_dir",
  "init_from",
  "keep_checkpoints",
  "checkpoint_every",
  "gpu_memory_limit",
  "ray_address",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
  DataConfig,
  ModelConfig,
  TrainingConfig,
  PrivacyConfig,
  DefenseConfig,
  EvaluationConfig,
  RunConfig,
):
  """Every setting of a run. Values are checked when it is made."""

  def __post_init__(self):
    for field in dataclasses.fields(self):
      setting_of(field).check(field.name, getattr(self, field.name))
    self._check_combinations()

  def _check_combinations(self) -> None:
    total = self.adaptation_fraction + self.validation_fraction
    total += self.evaluation_fraction if self.split == "grouped" else 0.0
    if total >= 1.0:
      raise UserError(
        f"the fractions for evaluation, adaptation and validation add up to {total:g}: "
        "leave a part of 1 for the clients' training"
      )
    self.parts  # noqa: B018  refuses what is none
    if self.trainable == "classifier" and not self.init_from:
      raise UserError(
        "--trainable=classifier freezes what comes before, which has to be trained: give the "
        "folder of a finished run, --init_from=RUN_DIR, such as one of --preset=public"
      )
    ours = self.algorithm == "fedsafe"
    if ours and self.uplink_sigma > 0 and self.uplink_epsilon > 0:
      raise UserError("--uplink_sigma and --uplink_epsilon both set the same noise: give one")
    if ours and self.uplink_epsilon > 0 and self.clip_norm == 0:
      raise UserError(
        "--uplink_epsilon needs --clip_norm above 0: without clipping the noise guarantees nothing"
      )
    if self.calibrated_downlink and self.clip_norm == 0:
      raise UserError("--downlink_epsilon (Wei et al.) needs --clip_norm above 0")
    exposed = self.effective_exposures**2 * self.clients_in_a_round
    if self.calibrated_downlink and self.rounds**2 <= exposed:
      raise UserError(
        f"--downlink_epsilon: with {self.rounds} rounds T, {self.clients_in_a_round} clients N in "
        f"a round and {self.effective_exposures} exposures L, Wei et al.'s formula gives no noise "
        "at all: give --exposures below T / sqrt(N)"
      )
    if self.mechanism_asked:
      self._check_privacy()
    clips = AGGREGATORS[self.aggregator].clips or not ours
    if self.central_dp and self.clients_per_round:
      raise UserError(
        "central DP is accounted with all clients in every round: leave out --clients_per_round"
      )
    if self.central_dp and self.clip_norm == 0 and clips:
      raise UserError("central DP needs --clip_norm above 0")
    if ours and self.aggregator != "mean" and self.upload != "update":
      raise UserError(f"--aggregator={self.aggregator} aggregates updates: add --upload=update")
    if not ours and self.defense != "none":
      raise UserError(
        f"--defense={self.defense} is part of --algorithm=fedsafe: a TFF baseline runs with "
        "--defense=none"
      )
    if self.clients_per_round > self.num_clients:
      raise UserError(
        f"--clients_per_round={self.clients_per_round} is more than "
        f"--num_clients={self.num_clients}: give at most as many, or 0 for all"
      )
    if self.attack_colluders > self.num_clients:
      raise UserError(
        f"--attack_colluders={self.attack_colluders} is more than --num_clients={self.num_clients}"
      )
    if not self.attack_eps:
      raise UserError("--attack_eps is empty: give at least one perturbation size")
    attacks = self.attacks.split(",")
    unknown = set(attacks) - ATTACKS.keys()
    if unknown:
      raise UserError(
        f"--attacks has unknown {', '.join(sorted(unknown))}: choose from {', '.join(ATTACKS)}"
      )
    apart = [name for name in attacks if not ATTACKS[name].followed]
    if self.attack_worst_case and apart:
      raise UserError(f"--attack_worst_case can't follow {', '.join(apart)} step by step")

  def _check_privacy(self) -> None:
    """Combinations with `--privacy`."""
    name = f"--privacy={self.privacy}"
    if (self.target_epsilon > 0) == (self.noise_multiplier > 0):
      raise UserError(f"{name} needs either --target_epsilon or --noise_multiplier above 0")
    if self.clip_norm == 0:
      raise UserError(f"{name} needs --clip_norm above 0: nothing else bounds an image's part")
    if self.uplink_sigma > 0 or self.uplink_epsilon > 0:
      raise UserError(f"{name} sets the noise: leave out --uplink_sigma and --uplink_epsilon")
    if self.aggregator != "mean":
      raise UserError(f"{name} goes with --aggregator=mean, not {self.aggregator}")
    if self.dp_microbatches and self.batch_size % self.dp_microbatches:
      raise UserError(
        f"--dp_microbatches={self.dp_microbatches} must divide --batch_size={self.batch_size}"
      )
    if self.privacy in AGGREGATING and self.not_finite == "leave_out":
      raise UserError(f"{name} counts every upload: leave out --not_finite=leave_out")
    if self.privacy in AGGREGATING and self.clients_per_round:
      raise UserError(f"{name} is for the sum of all clients: leave out --clients_per_round")
    if self.privacy in AGGREGATING and self.upload != "update":
      raise UserError(f"{name} aggregates updates: add --upload=update")

  @property
  def clients_in_a_round(self) -> int:
    """How many clients take part in a round."""
    return self.clients_per_round or self.num_clients

  @property
  def draws_noise(self) -> bool:
    """Whether noise comes of --noise_seed; TFF's DP aggregators draw theirs themselves."""
    private = self.mechanism_asked and self.privacy not in ("central", "distributed")
    return self.noised_uploads or self.noisy_downlink or private

  @property
  def effective_exposures(self) -> int:
    """Exposures L in the paper's formulas."""
    return self.exposures or self.rounds

  def inapplicable(self) -> dict[str, str]:
    """Settings without effect under this config, with what each would need."""
    return {
      field.name: setting_of(field).needs
      for field in dataclasses.fields(self)
      if setting_of(field).applies is not None and not setting_of(field).applies(self)
    }

  def normalized(self) -> "Config":
    """The same config with every setting that has no effect at its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(self)}
    return dataclasses.replace(self, **{name: defaults[name] for name in self.inapplicable()})

  def without_attacks(self) -> "Config":
    """The same config with the paper's evaluation at its defaults: it attacks nothing else."""
    defaults = {f.name: f.default for f in dataclasses.fields(EvaluationConfig)}
    return dataclasses.replace(self, **(defaults | {"evaluation": BEFORE["evaluation"]}))

  def as_dict(self) -> dict[str, Any]:
    """Flag name to value, in the order of the flag groups; lists for tuples, as JSON has them."""
    values = {}
    for group in GROUPS:
      for field in dataclasses.fields(group):
        value = getattr(self, field.name)
        values[field.name] = list(value) if isinstance(value, tuple) else value
    return values

  def identity(self) -> dict[str, Any]:
    """The settings that change the results and are not at their defaults, as in `as_dict`.

    A setting that came later counts from what there was before it: what is stored under the
    identities of old settings is found again.
    """
    defaults = Config().as_dict() | BEFORE
    return {
      name: value
      for name, value in self.as_dict().items()
      if name not in _NOT_COMPARED and value != defaults[name]
    }

  def differences(self, other: dict[str, Any]) -> list[str]:
    """The settings whose value differs from `other` (an `as_dict`) and changes the results."""
    mine, other = self.as_dict(), BEFORE | other
    return [
      f"--{name}: {other.get(name)!r} there, {value!r} here"
      for name, value in mine.items()
      # What a table tells is a part of the images' identity.
      if name not in (*_NOT_COMPARED, "metadata") and not _same(name, other.get(name), value)
    ]


def _same(name: str, one: Any, other: Any) -> bool:
  """Whether two values of a setting mean the same, wherever a user's files lie.

  What is in them is compared as `runs.inputs.Inputs`.
  """
  if name not in ("model", "defense") or not isinstance(one, str):
    return one == other
  short = [[users_code.short_name(part) for part in value.split("+")] for value in (one, other)]
  return short[0] == short[1]
