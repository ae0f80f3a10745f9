import types

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import message as protobuf

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import baselines, fed_safe
from fedsafe_tff.privacy import accounting, calibration
from fedsafe_tff.runs import schedule, targets, trainers
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.training import copies, gradients

PREPARED = types.SimpleNamespace(
  model=types.SimpleNamespace(in_training="the model on single views"),
  clients=[np.arange(3), np.arange(5)],
  store=types.SimpleNamespace(
    directory="shards", image_shape=(8, 8, 1), sizes={"adaptation": 17}
  ),
)
# Flag, a value that is not its default, and what it is called where it must arrive.
UPLOAD = {
  "upload": ("update", "kind"), "clip_norm": (4.0, "clip_norm"), "uplink_sigma": (0.25, "sigma"),
}
CLIENTS = {"local_epochs": (3, "epochs"), "batch_size": (7, "batch_size")}
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
      fed_safe, "build_fed_safe", lambda model, **keywords: captured.update(keywords, model=model)
    )
    config = Config(**settings)
    trainers.build_fed_safe(config, PREPARED, Noise.from_config(config, 10))
    return types.SimpleNamespace(**captured)

  return build


@pytest.mark.parametrize("part, flag", [
  *(("upload", flag) for flag in UPLOAD), *(("clients", flag) for flag in CLIENTS)
])
def test_a_flag_reaches_the_clients(built, part, flag):
  value, name = (UPLOAD | CLIENTS)[flag]
  changed, plain = getattr(built(**{flag: value}), part), getattr(built(), part)
  assert getattr(changed, name) == value != getattr(plain, name)


@pytest.mark.parametrize("flag", ADAPTATION)
def test_a_flag_reaches_the_adaptation(built, flag):
  value, name = ADAPTATION[flag]
  adapting = {"defense": "server_adversarial_training"}
  changed, plain = built(**adapting, **{flag: value}).adaptation, built(**adapting).adaptation
  assert getattr(changed, name) == value != getattr(plain, name)


def in_rounds(schedule, count):
  return [schedule(tf.constant(number)).numpy().item() for number in range(count)]


def test_other_flags_reach_their_places(built):
  plain = built()
  assert (plain.model, plain.seed, plain.downlink) == ("the model on single views", 0, "map")
  assert plain.gradient == gradients.Plain() and plain.attack_eps_fn is None
  assert plain.copies is None and not plain.copies_in_rounds
  assert not hasattr(plain, "adaptation") and not hasattr(plain, "adaptation_data")
  assert built(seed=5).seed == 5 and built(gradient_clip=2.0).gradient_clip == 2.0
  assert plain.weight_decay == 0 and built(weight_decay=0.25).weight_decay == 0.25
  assert built(augment="flip,rotate").clients.augment == ("flip", "rotate")
  optimizer = built(learning_rate=0.25, momentum=0.5).client_optimizer
  hparams = optimizer.get_hparams(optimizer.initialize(tf.TensorSpec([])))
  assert hparams == {"learning_rate": 0.25, "momentum": 0.5}
  cosine = built(learning_rate=0.5, learning_rate_schedule="cosine", rounds=4)
  rates = in_rounds(cosine.client_learning_rate_fn, 4)
  assert rates == pytest.approx([0.5, 0.4268, 0.25, 0.0732], abs=1e-4)
  local = built(
    defense="local_adversarial_training", local_attack_steps=5, local_attack_eps=0.25,
    local_attack_warmup=0.5, rounds=4,
  )
  assert local.gradient == gradients.Adversarial(0.25, 5)
  assert in_rounds(local.attack_eps_fn, 4) == pytest.approx([0.25 / 3, 0.5 / 3, 0.25, 0.25])
  anew = built(defense="distributed_noise", adaptation_examples="each_epoch")
  assert anew.adaptation.examples == "each_epoch"
  noisy = {"defense": "noise_only", "downlink_sigma": 0.3}
  assert plain.noise_seed is None and built(**noisy, noise_seed=7).noise_seed == 7
  assert built(**noisy).copies == copies.Noise(0.3) and not built(**noisy).copies_in_rounds
  assert built(**noisy, downlink_schedule="every").copies_in_rounds
  assert built(**noisy, runtime="native").downlink == "select"
  assert built(**noisy, runtime="native", downlink="map").downlink == "map"
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
  trainers.build_baseline(config, PREPARED)
  name, model, shards = captured.pop("args")
  assert (name, model) == ("tff_dp_fed_avg", "the model on single views")
  assert (shards.epochs, shards.batch_size, shards.augment) == (3, 7, ("rotate",))
  assert captured == {
    "learning_rate": 0.3, "momentum": 0.5, "prox_mu": 0.7, "clip_norm": 4.0,
    "noise_multiplier": 1.5, "num_clients": 2, "seed": 5,
  }


@pytest.mark.parametrize(
  "defense, every, rounds",
  [("none", 0, []), ("noise_only", 0, []), ("distributed_noise", 0, [7]),
   ("server_adversarial_training", 3, [2, 5, 7]), ("distributed_noise", 1, list(range(8)))],
)
def test_when_the_server_adapts(built, defense, every, rounds):
  settings = {"defense": defense, "rounds": 8, "adaptation_every": every}
  config = Config(**settings)
  assert [r for r in range(8) if schedule.adapts_in(config, r)] == rounds
  if rounds:
    assert [r for r, due in enumerate(in_rounds(built(**settings).adapt_when, 8)) if due] == rounds
    # Iterated, it is made between rounds.
    later = built(**settings, adaptation_examples="iterated").adapt_when
    assert not any(in_rounds(later, 8))


def test_rows_belong_to_clients_and_not_to_places():
  told = {"clients": {"client": np.array([2, 0]), "metrics": np.array([[3.0] * 6, [1.0] * 6])}}
  output = types.SimpleNamespace(
    state="next", metrics={"client_work": told, "finalizer": {"adaptation": {"adapted": False}}}
  )
  process = types.SimpleNamespace(next="next")
  trainer = trainers.Trainer(
    process, lambda *_: output, lambda index: [0, 2], lambda client, index: client, [5, 5, 5]
  )
  state, metrics = trainer.next("state", 0)
  assert state == "next" and metrics["adaptation"] is None
  np.testing.assert_array_equal(metrics["clients"][:, 0], [1.0, np.nan, 3.0])
  assert metrics["took_part"].tolist() == [0, 2]


def test_flags_reach_the_attacks():
  config = Config(
    attacks="fgsm,pgd", attack_eps=(0.1, 0.2), attack_steps=7, attack_step_size=0.03,
    attack_random_start=True, attack_restarts=4, attack_labels="predicted",
  )
  specs = targets.attack_specs(config)
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


def test_a_process_that_tff_cant_read_back_ends_in_a_line(monkeypatch):
  def fail(*arguments, **settings):
    raise protobuf.DecodeError("Error parsing message")

  monkeypatch.setattr(trainers, "build_fed_safe", fail)
  config = Config(privacy="distributed", clip_norm=1.0, noise_multiplier=1.0, upload="update")
  with pytest.raises(UserError, match="--privacy=distributed: TFF can't"):
    trainers.build_trainer(config, PREPARED, types.SimpleNamespace(seed=0), None)
