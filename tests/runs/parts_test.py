"""A member of a registry gets what it takes, and a setting that it doesn't take is named."""

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import parts
from fedsafe_tff.runs.config import Config

CONFIG = Config(defense="local_adversarial_training", local_attack_steps=1, local_attack_noise=1.0)


def offered(config):
  return {
    "steps": ("local_attack_steps", config.local_attack_steps),
    "attack_noise": ("local_attack_noise", config.local_attack_noise),
  }


def test_a_setting_that_is_not_taken_is_named_with_what_leaves_it_out():
  def gradient(steps):
    return steps

  match = "--local_attack_noise has no effect.*Where a preset has it, give --local_attack_noise=0.0"
  with pytest.raises(UserError, match=match):
    parts.build(gradient, CONFIG, offered(CONFIG), "defense")
  without = Config(defense="local_adversarial_training", local_attack_steps=1)
  assert parts.build(gradient, without, offered(without), "defense") == 1


def test_what_is_taken_arrives():
  made = parts.build(lambda **given: given, CONFIG, offered(CONFIG), "defense")
  assert made == {"steps": 1, "attack_noise": 1.0}
