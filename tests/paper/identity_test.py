import dataclasses

import pytest

from fedsafe_tff.paper import identity
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.defense import DEFENSES


def config(**settings):
  return Config(**({"clip_norm": 1.0} | settings)).normalized()


def test_methods_share_a_training_unless_they_change_the_rounds():
  names = {d: identity.training_name(config(defense=d)) for d in DEFENSES}
  local = names.pop("local_adversarial_training")
  assert local == names.pop("combined")  # its copies are made after the last round
  assert len(set(names.values())) == 1 and local not in names.values()
  assert names["none"].startswith("phantom-seed0-")


@pytest.mark.parametrize(
  "change",
  [{"seed": 1}, {"rounds": 11}, {"uplink_sigma": 0.1}, {"clip_norm": 2.0}, {"split": "published"},
   {"conv_widths": "wide"}, {"num_clients": 4}, {"adaptation_fraction": 0.2}, {"threads": 1},
   {"runtime": "native"}, {"algorithm": "tff_fed_avg", "defense": "none"},
   {"uplink_sigma": 0.1, "noise_seed": 3}],
)
def test_what_changes_a_training(change):
  base = {"defense": "distributed_noise"}
  assert identity.training_name(config(**base)) != identity.training_name(config(**base | change))


@pytest.mark.parametrize(
  "change",
  [{"adaptation_share": 0.5}, {"downlink_sigma": 0.5}, {"attack_eps": (0.2,)},
   {"attack_steps": 3}, {"attack_images": 5}, {"cache_dir": "x"}, {"run_dir": "x"},
   {"keep_checkpoints": 9}, {"downlink": "map"}, {"noise_seed": 3}],
)
def test_what_does_not_change_a_training(change):
  base = {"defense": "distributed_noise"}
  assert identity.training_name(config(**base)) == identity.training_name(config(**base | change))


def test_what_an_adapted_model_depends_on():
  def digest(**settings):
    return identity.digest(identity.adapted_config(config(**settings)))

  noise = digest(defense="distributed_noise")
  assert noise == digest(defense="server_adversarial_training")
  assert noise == digest(defense="distributed_noise", downlink_sigma=0.3, attack_steps=2)
  for change in ({"adaptation_share": 0.5}, {"adaptation_epochs": 2}, {"seed": 1}, {"rounds": 3}):
    assert noise != digest(**{"defense": "distributed_noise"} | change)
  adapted = identity.adapted_config(config(defense="distributed_noise", adaptation_share=0.5))
  assert adapted.defense == "server_adversarial_training" and adapted.adaptation_share == 0.5


def test_an_evaluation_depends_on_everything_and_on_its_own_size_only():
  both = config(
    evaluation="paper", defense="distributed_noise", attacks="pgd", attack_eps=(0.1, 0.2)
  )
  one = dataclasses.replace(both, attack_eps=(0.1,))
  digests = [identity.digest(identity.evaluation_config(c, 0.1)) for c in (both, one)]
  assert digests[0] == digests[1]
  assert digests[0] != identity.digest(identity.evaluation_config(both, 0.2))
  for change in (
    {"downlink_sigma": 0.02}, {"attack_steps": 3}, {"defense": "none"}, {"noise_seed": 3}
  ):
    other = dataclasses.replace(both, **change).normalized()
    assert digests[0] != identity.digest(identity.evaluation_config(other, 0.1))


@pytest.mark.parametrize("dataset", ["brain_tumor", "pathology", "image_folder", "npz"])
def test_images_may_move_and_are_told_by_what_they_are(dataset):
  here, there = (config(dataset=dataset, data_dir=folder) for folder in ("/a", "/b"))
  assert identity.training_name(here, "a" * 64) == identity.training_name(there, "a" * 64)
  assert identity.training_name(here, "a" * 64) != identity.training_name(here, "b" * 64)
  assert identity.training_name(here, "a" * 64).startswith(identity.training_name(here) + "-")


def test_names_of_old_caches_stay_known():
  name = identity.old_training_name
  assert name(config(seed=3, runtime="native")) == "phantom-seed3-fd117e3227bb"
  glioma = config(
    dataset="brain_tumor", data_dir="/a", task="glioma", rounds=5, runtime="native"
  )
  assert name(glioma) == "glioma-seed0-8f7d7a4a5932"
  noised = config(defense="distributed_noise", noise_seed=3, uplink_sigma=0.1)
  unseeded = dataclasses.replace(noised, noise_seed=-1)  # as there was no such setting
  assert name(noised) == name(unseeded)
  assert identity.old_digest(noised) == identity.old_digest(unseeded) != identity.digest(noised)


def test_a_changed_default_is_noticed_and_a_new_setting_is_not():
  wanted = config(rounds=3)
  stored = wanted.as_dict()
  assert identity.agrees(wanted, stored)
  assert identity.agrees(wanted, {k: v for k, v in stored.items() if k != "prox_mu"})
  assert not identity.agrees(wanted, stored | {"batch_size": 64})
  assert identity.agrees(wanted, stored | {"data_dir": "elsewhere", "gone": 1})
