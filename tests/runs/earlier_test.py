"""Attackers who average what they received: true copies where rounds had them, else drawn ones."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.holding import mean
from fedsafe_tff.commands import train
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.suites import Suite, Trial
from fedsafe_tff.runs import attackers, defenses, earlier, saved_models
from fedsafe_tff.runs.load import load_run
from tests.runs import tiny

_MI = {"name": "mi_fgsm", "steps": 2}
_SUITE = Suite(
  "standard", tuple(Trial("mi2", _MI, who, 1 / 8) for who in ("averaging", "round_history"))
)


def run(folder, schedule):
  """Three rounds, of which all are kept, with what the averaging attacker is."""
  words = tiny.arguments(
    folder, defense="noise_only", noise_seed=3, downlink_schedule=schedule, rounds=3,
    keep_checkpoints=3, evaluation="standard", attack_eps=0.1, attack_images=4,
  )  # fmt: skip
  idle = ("--adaptation_epochs", "--attack_steps")
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(suites.SUITES, "standard", _SUITE)
    patch.setattr(attackers.Attackers, "masking", lambda *args: {"passed": None})
    assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return load_run(folder / "run")


@pytest.fixture(scope="module")
def every(tmp_path_factory):
  return run(tmp_path_factory.mktemp("every"), "every")


def copies(loaded, models):
  return earlier.copies(loaded.config, loaded.prepared, models, noise_seed=3, sigma=0.01)


def who(loaded, rounds):
  return attackers.Attackers(
    loaded.config, loaded.prepared, loaded.weights, loaded.copies, sigma=0.01, rounds=rounds
  )


def test_copies_of_a_round_are_those_that_were_handed_out(every):
  """Told by the last distribution, whose copies the run folder holds, by the same rule."""
  [last] = copies(every, {3: every.weights})
  for made, received in zip(last, every.copies):
    for weight, other in zip(made, received):
      np.testing.assert_array_equal(weight, other)
  history = saved_models.history(every.folder.path / "models")
  assert list(history) == [1, 2]
  first, second = copies(every, history)
  noises = [copy[0] - model[0] for of, model in ((first, history[1]), (second, history[2]))
            for copy in of]  # fmt: skip
  assert len({noise.tobytes() for noise in noises}) == 6
  assert all(0.003 < noise.std() < 0.03 for noise in noises)


def test_averaging_takes_the_true_rounds_and_says_so(every):
  found = every.results
  assert [row["attacker"] for row in found["results"]] == ["averaging", "round_history", "worst"]
  assert found["notes"] == {
    "averaging": "the mean of the copies received in the last 3 rounds that are kept"
  }
  rounds = copies(every, saved_models.history(every.folder.path / "models"))
  averaging = who(every, rounds)._all["averaging"]
  [held] = averaging.holdings(1, every.copies, None)
  wanted = mean([rounds[0][1], rounds[1][1], every.copies[1]])
  for weight, other in zip(held.models[0], wanted):
    np.testing.assert_array_equal(weight, other)
  # An insider never saw the global models themselves.
  assert len(who(every, rounds)._all["round_history"].rounds) == 2
  page = (every.folder.path / "report.html").read_text()
  assert "attacker averaging here: the mean of the copies received in the last 3 rounds" in page


def test_rounds_without_copies_are_drawn_anew(every):
  last = dataclasses.replace(
    every, config=dataclasses.replace(every.config, downlink_schedule="last")
  )
  assert copies(last, {1: every.weights}) == []
  redrawn = who(last, [])
  assert redrawn.notes(_SUITE)["averaging"] == (
    "the mean of 4 copies of the last global model, all but one drawn anew"
  )
  [held] = redrawn._all["averaging"].holdings(1, every.copies, keys.root(0))
  further = [redrawn._redraw()(1, number) for number in (1, 2, 3)]
  for weight, other in zip(held.models[0], mean([every.copies[1], *further])):
    np.testing.assert_array_equal(weight, other)
  spread = [np.std(copy[0] - every.weights[0]) for copy in further]
  assert all(0.003 < found < 0.03 for found in spread) and len(set(spread)) == 3


def test_further_copies_are_made_as_the_defender_makes_them(every):
  """A healed copy is no noised model: who averages gets further ones healed."""
  settings = {"downlink_schedule": "last", "defense": "healed", "adaptation_epochs": 1}
  healed = dataclasses.replace(every, config=dataclasses.replace(every.config, **settings))
  make = defenses.copies(healed.config, healed.prepared, 0.01)
  weights = tuple(tf.convert_to_tensor(w) for w in healed.weights)
  key = keys.fold(attackers.evaluation_key(healed.config), keys.ATTACKER, 2, 1)
  for weight, other in zip(who(healed, [])._redraw()(1, 2), tf.function(make)(weights, key)):
    np.testing.assert_array_equal(weight, other)
  plain = who(every, [])._redraw()(1, 2)
  assert any((a != b).numpy().any() for a, b in zip(plain, who(healed, [])._redraw()(1, 2)))


def test_what_was_received_is_not_forgotten_where_it_was_trained_further(every):
  trained = [tuple(w + 1 for w in copy) for copy in every.copies]
  told = attackers.Attackers(
    dataclasses.replace(every.config, downlink_schedule="last"), every.prepared, every.weights,
    trained, sigma=0.01, history=[every.weights], received=every.copies,
  )  # fmt: skip
  [held] = told._all["round_history"].holdings(1, trained, None)
  assert [model[0].tolist() for model in held.models] == [
    model[0].tolist() for model in (trained[1], every.copies[1], every.weights)
  ]
  [pooled] = told._all["averaging"].holdings(1, trained, keys.root(0))
  np.testing.assert_allclose(pooled.models[0][0], every.weights[0], atol=0.05)
