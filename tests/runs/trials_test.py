"""The worst of trials: of each attacker, and of all together."""

import numpy as np

from fedsafe_tff import keys
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import OwnCopy
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs import trials
from tests import small


def test_what_an_attacker_asked_counts_once(tmp_path):
  images, labels = small.images(8, 0)
  model = small.net()
  copies = [[w.numpy() for w in model.init(keys.root(0))]]
  evaluator = Evaluator(model, copies, images, labels, key=keys.root(0), batch_size=8)
  square, more = AttackSpec("square", 0.05, steps=4), AttackSpec("square", 0.05, steps=6)
  attempts = [
    trials.Attempt(AttackSpec("fgsm", 0.05), "fgsm", "own_copy", OwnCopy()),
    trials.Attempt(square, "square 4", "black_box", BlackBox()),
    trials.Attempt(more, "square 6", "black_box", BlackBox(), after=(square,)),
  ]
  made = trials.make(attempts, evaluator, trials.Kept(tmp_path / "kept", {}), lambda text: None)
  by = {result.attacker: result for result in trials.worst_of(made)}
  alone = evaluator.attack(square, BlackBox())
  assert (made[2].queries > alone.queries).any()  # some were asked again
  np.testing.assert_array_equal(by["black_box"].queries, made[2].queries)
  np.testing.assert_array_equal(by["worst"].queries, made[2].queries)
  assert by["own_copy"].queries is None
  assert [by[name].label for name in ("black_box", "worst")] == ["worst of 2", "worst of 3"]
