import dataclasses
import json

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import GROUPS, Config
from fedsafe_tff.runs.config import config as config_module
from fedsafe_tff.runs.config.config import BEFORE
from fedsafe_tff.runs.config.defense import DEFENSES
from fedsafe_tff.runs.config.setting import setting_of

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def test_every_setting_is_in_exactly_one_group():
  names = [field.name for group in GROUPS for field in dataclasses.fields(group)]
  assert sorted(names) == sorted(FIELDS) and len(set(names)) == len(names)


def test_every_setting_has_a_help_text_and_a_default_within_its_range():
  for name, field in FIELDS.items():
    setting = setting_of(field)
    assert setting.help.endswith("."), name
    setting.check(name, field.default)
    assert bool(setting.needs) == (setting.applies is not None), name


@pytest.mark.parametrize(
  "name, value",
  [
    ("attack_eps", (0.1, -0.01)),
    ("attack_eps", (1.01,)),
    ("attack_eps", (float("nan"),)),
    ("adaptation_eps", -0.01),
    ("local_attack_eps", 1.5),
    ("uplink_sigma", -0.1),
    ("uplink_sigma", float("nan")),
    ("clip_norm", float("inf")),
    ("learning_rate", float("inf")),
    ("downlink_sigma", -1e-9),
    ("uplink_epsilon", -1.0),
    ("downlink_epsilon", -1.0),
    ("uplink_delta", 0.0),
    ("uplink_delta", 1.0),
    ("clip_norm", -1.0),
    ("adaptation_share", 0.0),
    ("adaptation_share", 1.001),
    ("adaptation_fraction", 0.0),
    ("dirichlet_alpha", 0.0),
    ("learning_rate", 0.0),
    ("momentum", 1.0),
    ("dropout", 1.0),
    ("dp_noise_multiplier", 0.0),
    ("num_clients", 0),
    ("rounds", 0),
    ("seed", -1),
    ("seed", 2**63),
    ("noise_seed", -2),
    ("dirichlet_alpha", 1e-9),
    ("dirichlet_alpha", 1e308),
    ("noise_seed", 2**63),
  ],
)
def test_a_value_out_of_range_names_its_flag(name, value):
  with pytest.raises(UserError, match=f"^--{name}\\b"):
    Config(**{name: value})


@pytest.mark.parametrize(
  "name, value",
  [("attack_eps", (0.0, 1.0)), ("adaptation_share", 1.0), ("momentum", 0.0), ("seed", 2**63 - 1),
   ("uplink_sigma", 0.0), ("clip_norm", 0.0)],
)
def test_the_ends_of_a_range_belong_to_it(name, value):
  assert getattr(Config(**{name: value}), name) == value


def test_the_message_shows_the_interval():
  with pytest.raises(UserError, match=r"--adaptation_share=0.0 .* \(0, 1\]"):
    Config(adaptation_share=0.0)
  with pytest.raises(UserError, match=r"--rounds=0 .* \[1, 1000000\]"):
    Config(rounds=0)
  with pytest.raises(UserError, match=r"--keep_checkpoints=0 .* \[1, inf\)"):
    Config(keep_checkpoints=0)
  with pytest.raises(UserError, match="--defense=magic is unknown.*distributed_noise"):
    Config(defense="magic")


@pytest.mark.parametrize(
  "settings, match",
  [
    ({"evaluation_fraction": 0.5, "adaptation_fraction": 0.5}, "add up to 1.05"),
    ({"uplink_sigma": 0.1, "uplink_epsilon": 1.0, "clip_norm": 1.0}, "give one"),
    ({"uplink_epsilon": 1.0}, "--clip_norm"),
    ({"downlink_epsilon": 1.0, "defense": "noise_only"}, "--clip_norm"),
    (
      {"downlink_epsilon": 1.0, "defense": "noise_only", "clip_norm": 1.0, "rounds": 50},
      "no noise at all: give --exposures below",
    ),
    ({"algorithm": "tff_dp_fed_avg"}, "--clip_norm"),
    ({"algorithm": "tff_dp_fed_avg", "aggregator": "adaptive_dp"}, "--clip_norm"),
    ({"attack_colluders": 4}, "more than --num_clients=3"),
    ({"aggregator": "central_dp", "upload": "update"}, "--clip_norm"),
    ({"aggregator": "secure_sum"}, "--upload=update"),
    ({"algorithm": "tff_fed_avg", "defense": "noise_only"}, "--defense=none"),
    ({"attack_eps": ()}, "--attack_eps is empty"),
    ({"attacks": "fgsm,deepfool"}, "--attacks has unknown deepfool"),
  ],
)
def test_combinations_that_contradict_are_user_errors(settings, match):
  with pytest.raises(UserError, match=match):
    Config(**settings)


def test_combinations_that_go_together():
  noisy = {"downlink_epsilon": 1.0, "defense": "noise_only", "clip_norm": 1.0, "rounds": 50}
  assert Config(**noisy, exposures=28)  # 28 sqrt(3) is below 50, 29 sqrt(3) is not
  with pytest.raises(UserError):
    Config(**noisy, exposures=29)
  # Its clipping norm adapts.
  assert Config(aggregator="adaptive_dp", upload="update").central_dp


def test_fractions_of_a_published_split_leave_out_the_evaluation_part():
  assert Config(evaluation_fraction=0.9, adaptation_fraction=0.5, split="published")


@pytest.mark.parametrize("defense", DEFENSES)
def test_what_applies_to_a_defense(defense):
  without = Config(defense=defense).inapplicable()
  adapting = defense in ("server_adversarial_training", "distributed_noise", "combined")
  assert ("adaptation_eps" not in without) == adapting
  assert ("local_attack_eps" not in without) == (
    defense in ("local_adversarial_training", "combined")
  )
  assert ("downlink_sigma" not in without) == (
    defense in ("distributed_noise", "noise_only", "combined")
  )
  for name, needs in without.items():
    assert needs == setting_of(FIELDS[name]).needs


def test_normalized_resets_what_has_no_effect_and_nothing_else():
  config = Config(rounds=7, adaptation_eps=0.2, downlink_sigma=0.3, prox_mu=0.5)
  assert config.normalized() == Config(rounds=7)
  kept = dataclasses.replace(config, defense="distributed_noise").normalized()
  assert (kept.adaptation_eps, kept.downlink_sigma, kept.prox_mu) == (0.2, 0.3, Config().prox_mu)
  assert kept.normalized() == kept


@pytest.mark.parametrize(
  "settings",
  [
    {"algorithm": "tff_fed_avg", "aggregator": "central_dp", "dp_noise_multiplier": 2.0},
    {"algorithm": "tff_fed_avg", "aggregator": "secure_sum"},
    {"algorithm": "tff_fed_avg", "uplink_sigma": 0.1, "uplink_delta": 1e-6},
    {"algorithm": "tff_fed_avg", "uplink_epsilon": 1.0, "exposures": 3},
    {"defense": "none", "downlink_epsilon": 1.0, "exposures": 3},
  ],
)
def test_what_has_no_effect_contradicts_nothing_and_makes_nothing_else_apply(settings):
  config = Config(**settings)
  plain = Config(algorithm=config.algorithm)
  assert config.normalized() == plain
  assert set(settings) - {"algorithm", "defense"} <= set(config.inapplicable())


def test_a_stored_config_is_equal_to_itself():
  config = Config(attack_eps=(0.1, 1 / 3), seed=2**63 - 1, augment="")
  stored = json.loads(json.dumps(config.as_dict()))
  assert config.differences(stored) == []
  assert list(stored) == [field.name for group in GROUPS for field in dataclasses.fields(group)]
  stored["attack_eps"] = tuple(stored["attack_eps"])
  assert Config(**stored) == config


def test_differences_name_flags_and_both_values():
  there = Config(rounds=3, run_dir="a", data_dir="x", cache_dir="c", keep_checkpoints=9).as_dict()
  here = Config(rounds=4, attack_eps=(0.25,), run_dir="b", data_dir="y")
  rounds, attack_eps = here.differences(there)
  assert rounds == "--rounds: 3 there, 4 here"
  assert attack_eps.startswith("--attack_eps: [0.005") and attack_eps.endswith("[0.25] here")
  del there["momentum"]  # written before the flag existed
  assert any(line.startswith("--momentum") for line in here.differences(there))
  newer = [name for name, value in BEFORE.items() if getattr(here, name) == value]
  assert {"local_loss", "dp_clip", "trainable"} <= set(newer)
  for name in newer:
    del there[name]  # as before them: there was none
  assert not any(name in line for line in here.differences(there) for name in newer)


def test_what_shapes_a_robust_step_has_no_effect_on_private_ones():
  robust = Config(defense="local_adversarial_training", local_loss="trades", local_attack_steps=1)
  private = dataclasses.replace(robust, privacy="dp_sgd", clip_norm=1.0, noise_multiplier=1.0)
  names = {"local_loss", "local_loss_beta", "local_attack_noise", "local_weight_ascent"}
  assert not names & set(robust.inapplicable())
  assert names <= set(private.inapplicable()) and "local_attack_eps" not in private.inapplicable()
  assert "without --privacy=dp_sgd" in private.inapplicable()["local_attack_noise"]
  assert "local_attack_noise" in dataclasses.replace(robust, local_attack_steps=2).inapplicable()


def test_exposures_are_the_rounds_unless_given():
  assert Config(rounds=7).effective_exposures == 7
  assert Config(rounds=7, exposures=2).effective_exposures == 2


def test_older_configurations_mean_the_papers_evaluation():
  """They name no suite: their names in caches stay, and folders are continued under it alone."""
  old = Config(evaluation="paper").as_dict()
  del old["evaluation"]
  assert Config(evaluation="paper").differences(old) == []
  del old["clients_per_round"]
  (difference,) = Config().differences(old)
  assert difference == "--evaluation: 'paper' there, 'standard' here"
  assert "evaluation" not in Config(evaluation="paper").identity()
  assert Config().identity()["evaluation"] == "standard"


def test_where_a_users_files_lie_is_no_difference():
  here = Config(dataset="image_folder", data_dir="x", metadata="/home/u/t.csv")
  assert here.differences(here.as_dict() | {"metadata": "t.csv", "data_dir": "y"}) == []
  there = here.as_dict() | {"model": "a/nets.py:net", "defense": "local+a/mine.py:make"}
  mine = dict(there) | {"model": "/b/nets.py:net", "defense": "local+/b/mine.py:make"}
  for name in ("model", "defense"):
    assert config_module._same(name, there[name], mine[name])
  assert not config_module._same("model", "a/nets.py:net", "a/nets.py:other")
  assert not config_module._same("rounds", 3, 4)
