"""What each attacker holds, on models that are one number."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import (
  Averaging,
  Colluding,
  NoiseEnsemble,
  OwnCopy,
  RoundHistory,
)
from fedsafe_tff.attackers.holding import digest, mean
from fedsafe_tff.attackers.makers import Imitation, LocalUpdate, Redrawn, Surrogate
from fedsafe_tff.attackers.registry import ATTACKERS
from fedsafe_tff.attackers.worst import Worst
from fedsafe_tff.attacks.ensemble import GaussianRedraw
from fedsafe_tff.errors import UserError

KEY = keys.root(0)


def number(value):
  return (tf.constant(float(value)),)


COPIES = [number(value) for value in (1, 2, 4)]
EARLIER = [[number(10 * round_ + client) for client in range(3)] for round_ in range(2)]


def values(holding):
  return [float(model[0]) for model in holding.models]


def held(attacker, client=1):
  (holding,) = attacker.holdings(client, COPIES, KEY)
  assert holding.victims is None and holding.stream == client and holding.access == "gradients"
  return holding


def test_own_copy():
  assert values(held(OwnCopy())) == [2.0]
  assert OwnCopy().insiders(1, 3) == (1,)


def test_averaging_is_the_mean_of_the_copies_that_one_client_received():
  assert values(held(Averaging([*EARLIER, COPIES]))) == pytest.approx([(1 + 11 + 2) / 3])
  assert values(held(Averaging([*EARLIER, COPIES], 2))) == pytest.approx([(11 + 2) / 2])
  redrawn = Redrawn(COPIES, lambda client, round_: number(10 * round_ + client), count=3)
  assert values(held(redrawn)) == pytest.approx([(2 + 11 + 21) / 3])


def test_round_history_goes_through_all_that_was_kept():
  kept = RoundHistory(EARLIER, [number(100), number(200)])
  assert values(held(kept)) == [2.0, 1.0, 11.0, 100.0, 200.0]
  assert values(held(RoundHistory(global_models=[number(7)]))) == [2.0, 7.0]


def test_colluders_are_a_ring_that_pools_by_mean_or_ensemble():
  assert values(held(Colluding(2), client=2)) == [2.5]  # 4 and 1
  assert values(held(Colluding(2, pool="ensemble"), client=2)) == [4.0, 1.0]
  assert Colluding(2).insiders(2, 3) == (2, 0)


def test_a_noise_ensemble_draws_around_whatever_another_attacker_holds():
  holding = held(NoiseEnsemble(0.1, draws=7))
  assert values(holding) == [2.0] and holding.redraw == GaussianRedraw(0.1) and holding.draws == 7
  around = NoiseEnsemble(0.1, around=Colluding(2, pool="ensemble"))
  assert values(held(around, client=2)) == [4.0, 1.0] and around.insiders(2, 3) == (2, 0)
  with pytest.raises(UserError, match="4 colluders"):
    NoiseEnsemble(0.1, around=Colluding(4)).check(3)


def test_a_local_update_trains_its_own_copy_once():
  asked = []

  def train(client, weights, key):
    asked.append((client, float(weights[0]), tuple(key.numpy())))
    return number(100 * client + float(weights[0]))

  attacker = LocalUpdate(train)
  for _ in range(2):  # two attacks, one training
    assert values(held(attacker)) == [102.0]
  assert values(held(attacker, client=2)) == [204.0]
  other = [number(9)] * 3
  assert values(attacker.holdings(1, other, KEY)[0]) == [109.0]  # another copy, another training
  assert [entry[:2] for entry in asked] == [(1, 2.0), (2, 4.0), (1, 9.0)]
  assert asked[0][2] != asked[1][2]  # every client draws its own numbers


def test_a_surrogate_knows_no_copy():
  attacker = Surrogate(lambda client, key: number(50 + client))
  assert values(held(attacker)) == [51.0]


def test_an_imitator_makes_copies_of_its_own_copy_and_uses_all():
  def make(client, weights, key):
    return number(weights[0] + tf.random.stateless_uniform([], key))

  made = values(held(Imitation(make, count=3)))
  assert made[0] == 2.0 and len(set(made)) == 4 and all(2 <= value < 3 for value in made)
  assert values(held(Imitation(make, count=3))) == made


def test_who_collude_imitate_of_the_mean_of_what_they_hold():
  attacker = Imitation(lambda client, weights, key: number(weights[0] * 10), count=2,
                       around=Colluding(2, "ensemble"))  # fmt: skip
  assert values(held(attacker)) == [2.0, 4.0, 30.0, 30.0]
  assert attacker.insiders(1, 3) == (1, 2)
  with pytest.raises(UserError, match="colluders are more than the 1 clients"):
    attacker.check(1)


def test_a_black_box_asks_each_victim_whoever_it_is():
  first, second = (BlackBox("labels").holdings(client, COPIES, KEY) for client in (0, 2))
  for victim, holding in enumerate(first):
    assert holding.victims == (victim,) and holding.access == "labels"
    assert values(holding) == [float(COPIES[victim][0])] and holding.stream == victim
  assert [h.identity() for h in first] == [h.identity() for h in second]


def test_the_worst_of_several_knows_who_is_inside_of_any():
  attacker = Worst([OwnCopy(), Colluding(2)])
  assert attacker.insiders(2, 3) == (0, 2)
  with pytest.raises(TypeError):
    attacker.holdings(0, COPIES, KEY)


def test_equal_holdings_are_one_and_others_are_not():
  same = [OwnCopy().holdings(client, [number(1)] * 2, KEY)[0].identity() for client in (0, 1)]
  assert same[0] == same[1]
  own, noisy = held(OwnCopy()).identity(), held(NoiseEnsemble(0.1)).identity()
  assert own != noisy and held(NoiseEnsemble(0.2)).identity() != noisy
  assert own != held(OwnCopy(), client=0).identity()


def test_weights_are_told_apart_bit_for_bit():
  assert digest([np.zeros(2, np.float32)]) != digest([-np.zeros(2, np.float32)])
  assert digest([np.zeros([2, 1])]) != digest([np.zeros([1, 2])])
  alike = number(3)
  assert mean([alike, number(3)]) is alike  # no rounding where there is nothing to average


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: Colluding(4).check(3), "4 colluders are more than the 3 clients"),
    (lambda: Colluding(0), "count is 0, but must be at least 1"),
    (lambda: Colluding(2, pool="vote"), "by mean or ensemble, not by 'vote'"),
    (lambda: NoiseEnsemble(0.0), "sigma is 0.0, but must be above 0"),
    (lambda: NoiseEnsemble(0.1, draws=0), "draws is 0"),
    (lambda: Averaging([]).check(3), "averaging attacker needs what was seen in one round"),
    (lambda: Averaging(EARLIER).check(2), "knows 3 copies of round 0, but there are 2 clients"),
    (lambda: Averaging(EARLIER, 3).check(3), "those of 2 are kept, so write averaging:2 or less"),
    (lambda: Redrawn(COPIES, None, count=0), "count is 0"),
    (lambda: RoundHistory().check(3), "round_history attacker needs"),
    (lambda: BlackBox("gradients"), "answers with scores or labels, not 'gradients'"),
    (lambda: Imitation(None, count=0), "count is 0"),
    (lambda: Worst([]), "name one at least"),
    (lambda: Worst([OwnCopy(), Colluding(4)]).check(3), "4 colluders"),
  ],
)
def test_what_does_not_fit_is_told_in_a_line(make, message):
  with pytest.raises(UserError, match=message) as error:
    make()
  assert "\n" not in str(error.value)


def test_every_attacker_of_the_issue_is_in_the_registry():
  assert list(ATTACKERS) == [
    "own_copy",
    "local_update",
    "noise_ensemble",
    "averaging",
    "round_history",
    "colluding",
    "black_box",
    "surrogate",
    "imitation",
    "worst",
  ]
  assert all(issubclass(attacker, Attacker) for attacker in ATTACKERS.values())
