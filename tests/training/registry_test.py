import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.training.registry import DEFENSES, PARTS, defense_of, having


def test_the_names_of_old_are_bundles_of_parts():
  assert defense_of("local+adaptation+noise").gradient is PARTS["local"].gradient
  for name, parts in {
    "local_adversarial_training": "local", "server_adversarial_training": "adaptation",
    "distributed_noise": "noise+adaptation", "noise_only": "noise",
  }.items():
    one, other = DEFENSES[name], defense_of(parts)
    for slot in ("gradient", "adaptation", "copies", "adapts_copies"):
      assert getattr(one, slot) == getattr(other, slot)


@pytest.mark.parametrize(
  "name, told",
  [("magic", "unknown: choose one of"), ("local+magic", "'magic'"), ("noise+healed", "copies"),
   ("local+local", "local training"), ("none+noise", "'none'")],
)
def test_what_is_no_defence(name, told):
  with pytest.raises(UserError, match=told):
    defense_of(name)


def test_messages_name_what_has_a_part():
  assert "local_adversarial_training" in having("gradient") and "local" in having("gradient")
