import types

import numpy as np
import pytest

from fedsafe_tff import algorithm, baselines
from fedsafe_tff.config import Config
from fedsafe_tff.experiment import evaluate, trainers
from fedsafe_tff.experiment.noise import Noise
from fedsafe_tff.privacy import accounting, calibration


def test_the_learning_rate_is_constant_or_falls():
  constant = Config(rounds=10, learning_rate=0.1)
  assert {trainers.learning_rate(constant, r) for r in range(10)} == {0.1}
  cosine = Config(rounds=10, learning_rate=0.1, learning_rate_schedule="cosine")
  rates = [trainers.learning_rate(cosine, r) for r in range(10)]
  assert rates[0] == 0.1 and rates[5] == pytest.approx(0.05) and 0 < rates[9] < 0.003
  assert rates == sorted(rates, reverse=True)


def test_local_adversarial_training_grows_its_perturbation():
  assert local_sizes(10, 0.3) == pytest.approx([0.0075, 0.015, 0.0225] + 7 * [0.03])
  assert local_sizes(100, 0.07)[6:8] == pytest.approx([0.03 * 7 / 8, 0.03])
  assert local_sizes(10, 0.0) == 10 * [0.03]
  assert trainers.local_attack_eps(Config(), 5) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 10, 24])
def test_local_adversarial_training_reaches_the_eps_asked_for(rounds, share):
  sizes = local_sizes(rounds, share)
  assert sizes == sorted(sizes) and sizes[0] > 0
  last_quarter = [size for r, size in enumerate(sizes) if r >= 0.75 * rounds]
  assert set(last_quarter) | {sizes[-1]} == {0.03}
  if rounds < 4:
    assert set(sizes) == {0.03}


def local_sizes(rounds, share):
  config = Config(
    rounds=rounds, defense="local_adversarial_training", local_attack_eps=0.03,
    local_attack_warmup=share,
  )
  return [trainers.local_attack_eps(config, r) for r in range(rounds)]


PREPARED = types.SimpleNamespace(
  model="the model",
  clients=[np.arange(3), np.arange(5)],
  store=types.SimpleNamespace(directory="shards", sizes={"adaptation": 17}),
)
# Flag, a value that is not its default, and what it is called where it must arrive.
WORK = {
  "local_epochs": (3, "epochs"), "batch_size": (7, "batch_size"), "momentum": (0.5, "momentum"),
  "gradient_clip": (2.0, "gradient_clip"), "upload": ("update", "upload"),
  "clip_norm": (4.0, "clip_norm"), "uplink_sigma": (0.25, "uplink_sigma"),
}
ADAPTATION = {
  "adaptation_attack": ("fgsm", "attack"), "adaptation_eps": (0.07, "eps"),
  "adaptation_steps": (4, "steps"), "adaptation_step_size": (0.02, "step_size"),
  "adaptation_random_start": (False, "random_start"), "adaptation_epochs": (9, "epochs"),
  "adaptation_learning_rate": (0.3, "learning_rate"), "adaptation_batch_size": (6, "batch_size"),
  "gradient_clip": (2.0, "gradient_clip"), "adaptation_share": (0.4, "share"),
}


@pytest.fixture
def built(monkeypatch):
  """What Algorithm 1 is built with, from settings of a run."""

  def build(**settings):
    captured = {}
    monkeypatch.setattr(
      algorithm, "build_fedsafe", lambda model, **keywords: captured.update(keywords, model=model)
    )
    config = Config(**settings)
    trainers.FedSafeTrainer(config, PREPARED, Noise.from_config(config, 10), call=None)
    return types.SimpleNamespace(**captured)

  return build


@pytest.mark.parametrize("flag", WORK)
def test_a_flag_reaches_the_clients(built, flag):
  value, name = WORK[flag]
  assert getattr(built(**{flag: value}).work, name) == value != getattr(built().work, name)


@pytest.mark.parametrize("flag", ADAPTATION)
def test_a_flag_reaches_the_adaptation(built, flag):
  value, name = ADAPTATION[flag]
  adapting = {"defense": "server_adversarial_training"}
  changed, plain = built(**adapting, **{flag: value}).adaptation, built(**adapting).adaptation
  assert getattr(changed, name) == value != getattr(plain, name)


def test_other_flags_reach_their_places(built):
  plain = built()
  assert (plain.model, plain.shard_dir, plain.server_images) == ("the model", "shards", 17)
  assert plain.adaptation is None and plain.work.attack_steps == 0
  assert (plain.round_sigma, plain.final_sigma, plain.seed, plain.downlink) == (0, 0, 0, "select")
  assert built(seed=5).seed == 5 and built(num_clients=4).num_clients == 4
  assert built(augment="flip,rotate").work.augment == ("flip", "rotate")
  local = built(defense="local_adversarial_training", local_attack_steps=5)
  assert local.work.attack_steps == 5
  anew = built(defense="distributed_noise", adaptation_examples="each_epoch")
  assert anew.adaptation.each_epoch and not built(defense="distributed_noise").adaptation.each_epoch
  noisy = {"defense": "noise_only", "downlink_sigma": 0.3}
  assert plain.noise_seed is None and built(**noisy, noise_seed=7).noise_seed == 7
  assert (built(**noisy).round_sigma, built(**noisy).final_sigma) == (0.0, 0.3)
  assert built(**noisy, downlink_schedule="every").round_sigma == 0.3
  assert built(**noisy, downlink="map").downlink == "map"
  # The map-reduce form has no federated_select.
  assert built(**noisy, runtime="device").downlink == "map"


def test_flags_reach_tffs_baselines(monkeypatch):
  captured = {}
  monkeypatch.setattr(
    baselines, "build_baseline", lambda *args, **keywords: captured.update(keywords, args=args)
  )
  config = Config(
    algorithm="tff_dp_fed_avg", local_epochs=3, batch_size=7, learning_rate=0.3, momentum=0.5,
    augment="rotate", prox_mu=0.7, clip_norm=4.0, dp_noise_multiplier=1.5, num_clients=2, seed=5,
  )
  trainers.BaselineTrainer(config, PREPARED, call=None)
  assert captured == {
    "args": ("tff_dp_fed_avg", "the model"), "shard_dir": "shards", "epochs": 3, "batch_size": 7,
    "learning_rate": 0.3, "momentum": 0.5, "augment": ("rotate",), "prox_mu": 0.7,
    "clip_norm": 4.0, "noise_multiplier": 1.5, "num_clients": 2, "seed": 5,
  }


@pytest.mark.parametrize(
  "defense, every, rounds",
  [("none", 0, []), ("noise_only", 0, []), ("distributed_noise", 0, [7]),
   ("server_adversarial_training", 3, [2, 5, 7]), ("distributed_noise", 1, list(range(8)))],
)
def test_when_the_server_adapts(built, monkeypatch, defense, every, rounds):
  monkeypatch.setattr(algorithm, "build_fedsafe", lambda *args, **keywords: None)
  config = Config(defense=defense, rounds=8, adaptation_every=every)
  trainer = trainers.FedSafeTrainer(config, PREPARED, Noise.from_config(config, 10), call=None)
  assert [r for r in range(8) if trainer._adapts_in(r)] == rounds


def test_flags_reach_the_attacks():
  config = Config(
    attacks="fgsm,pgd", attack_eps=(0.1, 0.2), attack_steps=7, attack_step_size=0.03,
    attack_random_start=True, attack_restarts=4, attack_labels="predicted",
  )
  specs = evaluate.attack_specs(config)
  assert [(s.name, s.eps, s.steps, s.labels) for s in specs] == [
    ("fgsm", 0.1, 1, "predicted"), ("fgsm", 0.2, 1, "predicted"),
    ("pgd", 0.1, 7, "predicted"), ("pgd", 0.2, 7, "predicted"),
  ]
  assert {(s.step_size, s.random_start, s.restarts) for s in specs[2:]} == {(0.03, True, 4)}


def test_the_noise_of_a_run():
  given = Noise.from_config(Config(uplink_sigma=0.2, downlink_sigma=0.3), 10)
  assert (given.uplink_sigma, given.downlink_sigma) == (0.2, 0.0)  # no noisy downlink
  noisy = Config(defense="noise_only", downlink_sigma=0.3)
  assert Noise.from_config(noisy, 10).downlink_sigma == 0.3
  formula = Config(
    defense="noise_only", uplink_epsilon=4.0, downlink_epsilon=2.0, uplink_delta=1e-4,
    clip_norm=3.0, rounds=40, exposures=5, num_clients=6,
  )
  found = Noise.from_config(formula, 11)
  common = {"delta": 1e-4, "clip_norm": 3.0, "min_images": 11, "exposures": 5}
  assert found.uplink_sigma == calibration.paper_uplink_sigma(epsilon=4.0, **common) > 0
  assert found.downlink_sigma == calibration.wei_downlink_sigma(
    epsilon=2.0, rounds=40, num_clients=6, **common
  ) > 0
  # At its L exposures the nominal epsilon is the one that was asked for; before, less.
  assert found.paper_epsilon(5) == found.paper_epsilon(40) == pytest.approx(4.0)
  assert found.paper_epsilon(1) == pytest.approx(4.0 / 5)
  assert found.epsilon(7) == accounting.provable_epsilon(
    sigma=found.uplink_sigma, clip_norm=3.0, uploads=7, delta=1e-4
  )


def test_the_seed_of_the_noise():
  noisy = {"defense": "noise_only", "seed": 4}
  assert Noise.from_config(Config(), 10).seed is None
  assert Noise.from_config(Config(**noisy, noise_seed=7), 10).seed == 7
  drawn = [Noise.from_config(Config(**noisy), 10).seed for _ in range(2)]
  assert drawn[0] != drawn[1]
  stored = {"seeds": {"noise_seed": 9}}
  assert Noise.from_config(Config(**noisy), 10, stored).seed == 9
  assert Noise.from_config(Config(**noisy, noise_seed=7), 10, stored).seed == 7
  central = Config(algorithm="tff_dp_fed_avg", clip_norm=1.0)
  assert Noise.from_config(central, 10).seed is None  # TFF draws it


def test_noise_without_an_accounting():
  unclipped = Noise.from_config(Config(uplink_sigma=0.2), 10)
  assert unclipped.epsilon(3) is None and unclipped.paper_epsilon(3) is None
  central = Config(algorithm="tff_dp_fed_avg", clip_norm=1.0, dp_noise_multiplier=2.0)
  found = Noise.from_config(central, 10)
  assert found.paper_epsilon(3) is None
  assert found.epsilon(3) == accounting.central_epsilon(noise_multiplier=2.0, rounds=3, delta=1e-5)
