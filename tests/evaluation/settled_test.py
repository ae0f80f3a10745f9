"""Attacks one after the other: what is settled is attacked no more, and nothing is lost by it."""

import numpy as np
import pytest

from fedsafe_tff import keys
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import Colluding, OwnCopy
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.evaluation.worst import worst
from tests import small

# None of them draws anything, so that an image's points don't depend on those beside it.
SPECS = (
  AttackSpec("fgsm", 0.1),
  AttackSpec("pgd", 0.1, steps=4),
  AttackSpec("mi_fgsm", 0.1, steps=4, loss="margin"),
)


@pytest.fixture(scope="module")
def evaluator():
  images, labels = small.images(24, 0)
  model = small.net()
  weights = [w.numpy() for w in model.init(keys.root(0))]
  tilts = [np.cos(np.arange(w.size, dtype=np.float32)).reshape(w.shape) for w in weights]
  copies = [
    [w + np.float32(shift) * tilt for w, tilt in zip(weights, tilts)]
    for shift in (0.0, 0.0, 0.05, 0.1)
  ]
  return Evaluator(model, copies, images, labels, key=keys.root(0), batch_size=5)


@pytest.mark.parametrize("attacker", [OwnCopy(), Colluding(2), Colluding(2, pool="ensemble")])
def test_the_worst_of_all_is_the_same_and_less_is_attacked(evaluator, attacker, monkeypatch):
  alone = worst([evaluator.attack(spec, attacker) for spec in SPECS])
  attacked = []
  craft = Crafter.craft

  def counted(self, held, spec, rows=None):
    attacked.append(len(rows))
    return craft(self, held, spec, rows)

  monkeypatch.setattr(Crafter, "craft", counted)
  made = []
  for spec in SPECS:
    made.append(evaluator.attack(spec, attacker, made[-1] if made else None))
  for name in ("flipped", "right", "clean_right", "outside"):
    np.testing.assert_array_equal(getattr(made[-1], name), getattr(alone, name))
  assert [result.spec for result in made] == list(SPECS)
  assert 0 < made[0].flipped.mean() < made[-1].flipped.mean() < 1
  each = len(attacked) // len(SPECS)
  assert sum(attacked[-each:]) < sum(attacked[:each]) == each * 24


def test_what_fools_only_some_victims_is_attacked_again_and_stays_fooled(evaluator):
  first = evaluator.attack(SPECS[0])
  nothing = evaluator.attack(AttackSpec("pgd", 0.0, steps=1))  # of size 0: flips nothing itself
  assert first.flipped.any() and not nothing.flipped.any()
  second = evaluator.attack(AttackSpec("pgd", 0.1, steps=1, step_size=1e-6), before=first)
  assert (second.flipped >= first.flipped).all() and (second.right <= first.right).all()


def test_what_was_put_right_is_attacked_again(evaluator):
  """It flips, but it is not wrong: another attack may leave it so."""
  first = evaluator.attack(AttackSpec("fgsm", 0.1, labels="predicted"))
  alone = evaluator.attack(SPECS[0])
  assert (first.flipped & first.right & ~alone.right).any()
  second = evaluator.attack(SPECS[0], before=first)
  np.testing.assert_array_equal(second.right, first.right & alone.right)
  np.testing.assert_array_equal(second.flipped, first.flipped | alone.flipped)


def test_queries_of_both_are_counted(evaluator):
  square = AttackSpec("square", 0.1, steps=5)
  first = evaluator.attack(square, BlackBox())
  second = evaluator.attack(square, BlackBox(), first)
  settled = first.flipped & ~first.right
  assert settled.any() and (second.queries[settled] == first.queries[settled]).all()
  assert (second.queries[~settled] > first.queries[~settled]).all()


def test_of_two_classes_twins_are_run_once():
  strong, several = suites.SUITES["strong"], ("noise_ensemble",)
  assert strong.of_classes(3, several) is strong
  less = strong.of_classes(2, several)
  gone = {(t.attacker, t.attack) for t in strong.trials if t not in less.trials}
  assert gone == {("own_copy", name) for name in ("pgd20 ce eps/8", "pgd20 ce eps/4", "apgd50 ce")}
  assert less.attackers == strong.attackers and less.images == strong.images
  assert [t.attack for t in suites.SUITES["standard"].of_classes(2).trials] == [
    "pgd20 margin eps/8",
    "pgd20 margin eps/4",
  ]


@pytest.mark.parametrize("trial", suites.SUITES["strong"].trials[:8], ids=lambda t: t.attack)
def test_a_twin_goes_where_the_other_goes(trial):
  """On a model of two classes that is not so sure that cross-entropy goes flat."""
  strong = suites.SUITES["strong"]
  if trial in strong.of_classes(2).trials:
    return
  (other,) = (t for t in strong.of_classes(2).trials if t.kind == trial.kind)
  images, labels = small.images(12, 3)
  model = small.net(num_classes=2)
  labels = labels % 2
  crafter = Crafter(model, images, labels, key=keys.root(0), batch_size=6)
  held = Holding((tuple(model.init(keys.root(4))),))
  made = [crafter.craft(held, t.spec(0.05))[0] for t in (trial, other)]
  assert np.mean(made[0] != made[1]) < 1e-3 and not np.array_equal(made[0], images / 255)
