import pytest
import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.training import schedules


def values(schedule, rounds):
  return [schedule(tf.constant(number)).numpy().item() for number in range(rounds)]


def test_a_table_keeps_its_last_value():
  assert values(schedules.table([0.5, 0.25]), 4) == [0.5, 0.25, 0.25, 0.25]
  assert values(schedules.table([True, False]), 3) == [True, False, False]
  with pytest.raises(UserError, match="one round at least"):
    schedules.table([])


def test_a_cosine_falls_towards_zero():
  rates = values(schedules.cosine(0.5, 10), 10)
  assert rates[0] == 0.5 and rates[5] == pytest.approx(0.25) and 0 < rates[9] < 0.015
  assert rates == sorted(rates, reverse=True)


def test_a_warmup_grows_to_its_full_size():
  assert values(schedules.warmup(0.04, 3), 5) == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.04])
  assert values(schedules.warmup(0.5, 0), 2) == [0.5, 0.5]


def test_every_kth_round():
  assert values(schedules.every(3), 7) == [False, False, True, False, False, True, False]
  with pytest.raises(UserError, match="every 0 rounds"):
    schedules.every(0)
