"""What the number of a round decides: rate and perturbation."""

import pytest

from fedsafe_tff.runs import schedule
from fedsafe_tff.runs.config import Config


def test_the_learning_rate_is_constant_or_falls():
  constant = Config(rounds=10, learning_rate=0.1)
  assert {schedule.learning_rate(constant, r) for r in range(10)} == {0.1}
  cosine = Config(rounds=10, learning_rate=0.1, learning_rate_schedule="cosine")
  rates = [schedule.learning_rate(cosine, r) for r in range(10)]
  assert rates[0] == 0.1 and rates[5] == pytest.approx(0.05) and 0 < rates[9] < 0.003
  assert rates == sorted(rates, reverse=True)


def test_local_adversarial_training_grows_its_perturbation():
  assert local_sizes(10, 0.3) == pytest.approx([0.0075, 0.015, 0.0225] + 7 * [0.03])
  assert local_sizes(100, 0.07)[6:8] == pytest.approx([0.03 * 7 / 8, 0.03])
  assert local_sizes(10, 0.0) == 10 * [0.03]
  assert schedule.local_attack_eps(Config(), 5) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 10, 24])
def test_local_adversarial_training_reaches_the_eps_asked_for(rounds, share):
  sizes = local_sizes(rounds, share)
  assert sizes == sorted(sizes) and sizes[0] > 0
  last_quarter = [size for r, size in enumerate(sizes) if r >= 0.75 * rounds]
  assert set(last_quarter) | {sizes[-1]} == {0.03}
  if rounds < 4:
    assert set(sizes) == {0.03}


def test_local_adversarial_training_that_starts_later_warms_up_in_the_rest():
  assert local_sizes(20, 0.5, local_attack_start=0.5) == [0.0] * 10 + local_sizes(10, 0.5)
  assert local_sizes(5, 0.5, local_attack_start=0.9) == [0.0] * 4 + [0.03]


def local_sizes(rounds, share, **more):
  config = Config(
    rounds=rounds, defense="local_adversarial_training", local_attack_eps=0.03,
    local_attack_warmup=share, **more,
  )
  return [schedule.local_attack_eps(config, r) for r in range(rounds)]
