import pytest

from fedsafe_tff.config import Config
from fedsafe_tff.experiment import trainers


def test_the_learning_rate_is_constant_or_falls():
  constant = Config(rounds=10, learning_rate=0.1)
  assert {trainers.learning_rate(constant, r) for r in range(10)} == {0.1}
  cosine = Config(rounds=10, learning_rate=0.1, learning_rate_schedule="cosine")
  rates = [trainers.learning_rate(cosine, r) for r in range(10)]
  assert rates[0] == 0.1 and rates[5] == pytest.approx(0.05) and 0 < rates[9] < 0.003
  assert rates == sorted(rates, reverse=True)


def test_local_adversarial_training_grows_its_perturbation():
  config = Config(
    rounds=10, defense="local_adversarial_training", local_attack_eps=0.03, local_attack_warmup=0.3
  )
  sizes = [trainers.local_attack_eps(config, r) for r in range(10)]
  assert sizes == pytest.approx([0.0, 0.01, 0.02] + 7 * [0.03])
  assert trainers.local_attack_eps(Config(), 5) == 0.0
