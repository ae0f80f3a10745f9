"""Attacks of the Adversarial Robustness Toolbox, on a model that was trained."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks import art_adapter
from fedsafe_tff.attacks.craft import craft, craft_counted
from fedsafe_tff.attacks.ensemble import Ensemble
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from tests.attacks import trained

KEY = keys.root(4)
EPS = 0.05
# Few steps: what is tested is that each attack runs and is strong where it should be.
WHITE = {
  "AutoProjectedGradientDescent": {"max_iter": 10, "nb_random_init": 1},
  "CarliniL2Method": {"max_iter": 5, "binary_search_steps": 2, "initial_const": 10.0},
  "DeepFool": {"max_iter": 10},
}
BLACK = {
  ("SquareAttack", "scores"): {"max_iter": 60},
  ("HopSkipJump", "labels"): {"max_iter": 2, "max_eval": 60, "init_eval": 10},
  ("BoundaryAttack", "labels"): {"max_iter": 10, "num_trial": 5, "sample_size": 5},
}


@pytest.fixture(scope="module")
def batch():
  x, y = trained.batch(12)
  return x[:6], y[:6]


def run(batch, name, options=(), eps=EPS, access="gradients", classes=3, **more):
  spec = AttackSpec(f"art:{name}", eps, options=options, **more)
  return craft_counted(trained.logits_fn(classes), *batch, spec, KEY, access=access)


@pytest.mark.parametrize("name", WHITE)
def test_attacks_with_gradients(batch, name):
  x, y = batch
  made = run(batch, name, WHITE[name])
  assert made.queries is None
  assert np.abs(made.images - x).max() <= EPS + 1e-6
  assert made.images.numpy().min() >= 0 and made.images.numpy().max() <= 1
  far = run(batch, name, WHITE[name] | {"project": False}).images
  fooled = trained.fooled(far, y).mean()
  assert fooled >= 0.5 and fooled >= trained.fooled(made.images, y).mean()


@pytest.mark.parametrize(("name", "access"), BLACK)
def test_black_boxes_count_their_queries_image_by_image(batch, name, access):
  x, y = batch[0][:2], batch[1][:2]
  settings = {"access": access, "options": BLACK[name, access] | {"project": False}}
  made = run((x, y), name, **settings)
  assert made.queries.shape == [2] and (made.queries.numpy() > 1).all()
  again = run((x, y), name, **settings)
  np.testing.assert_array_equal(made.images, again.images)
  np.testing.assert_array_equal(made.queries, again.queries)
  if access == "labels":  # from any image that is wrong they come nearer to the given one
    assert trained.fooled(made.images, y).all()


def test_a_black_box_of_labels_tells_no_scores(batch):
  answers = []

  class Spy(art_adapter._Answer):
    def __call__(self, x):
      answers.append(super().__call__(x))
      return answers[-1]

  real, art_adapter._Answer = art_adapter._Answer, Spy
  try:
    options = BLACK["HopSkipJump", "labels"]
    run((batch[0][:1], batch[1][:1]), "HopSkipJump", options, access="labels")
  finally:
    art_adapter._Answer = real
  assert set(np.unique(np.concatenate(answers))) == {0.0, 1.0}


def test_a_black_box_lends_itself_to_no_gradients(batch):
  with pytest.raises(UserError, match="can't attack a classifier of which it sees scores alone"):
    run(batch, "DeepFool", access="scores")


@pytest.mark.skipif(
  importlib.util.find_spec("multiprocess") is None, reason="multiprocess is not installed"
)
@pytest.mark.parametrize("classes", [2, 3])
def test_auto_attack_of_two_classes_and_of_three(classes):
  """ART's own set has a loss that two classes don't have."""
  x, y = trained.batch(6, classes=classes)
  made = run((x[:4], y[:4]), "AutoAttack", eps=0.15, classes=classes).images
  assert np.abs(made - x[:4]).max() <= 0.15 + 1e-6
  assert trained.fooled(made, y[:4], classes).all()


def test_an_ensemble_is_attacked_by_its_mean_logits(batch):
  model, weights = trained.model()
  stacked = tuple(tf.stack([w, w]) for w in weights)
  twice = Ensemble(lambda w, x: model.apply(w, x), stacked, 3)
  few = batch[0][:2], batch[1][:2]
  made = craft(twice, *few, AttackSpec("art:DeepFool", EPS, options={"max_iter": 3}), KEY)
  np.testing.assert_allclose(made, run(few, "DeepFool", {"max_iter": 3}).images, atol=1e-4)


def test_size_zero_changes_nothing(batch):
  np.testing.assert_array_equal(
    run(batch, "AutoProjectedGradientDescent", eps=0.0).images, batch[0]
  )


def test_what_was_drawn_before_goes_on_after(batch):
  np.random.seed(3)
  expected = np.random.random(2)
  np.random.seed(3)
  first = np.random.random()
  run((batch[0][:1], batch[1][:1]), "SquareAttack", {"max_iter": 3}, access="scores")
  np.testing.assert_array_equal([first, np.random.random()], expected)


def test_remarks_tell_of_the_size():
  assert AttackSpec("art:DeepFool", 0.1).remark == "projected into the linf ball of eps"
  free = AttackSpec("art:DeepFool", 0.1, options={"project": False})
  assert free.remark == "as the attack returned them, whatever their size"
  assert AttackSpec("pgd", 0.1).remark == ""


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("DepFool", {}, "attack art:DepFool is unknown: the installed ART has .*DeepFool"),
    ("DeepFool", {"strength": 3}, "failed inside of ART, TypeError.*'strength'"),
    ("DeepFool", {"max_iter": -1}, "failed inside of ART, ValueError"),
  ],
)
def test_what_does_not_fit_is_told_in_a_line(batch, name, options, message):
  with pytest.raises(UserError, match=message) as error:
    run(batch, name, options)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("module", "attack"), [("art", "DeepFool"), ("multiprocess", "AutoAttack")]
)
def test_what_is_not_installed_is_told(monkeypatch, batch, module, attack):
  real = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == module else real(name)
  )
  with pytest.raises(UserError, match=rf"needs the Python package {module}: install .*\[art\]"):
    run(batch, attack)


def test_it_runs_outside_of_a_graph_only(batch):
  spec = AttackSpec("art:DeepFool", EPS)
  with pytest.raises(ValueError, match="outside tf.function"):
    tf.function(lambda x, y: craft(trained.logits_fn(), x, y, spec, KEY))(*batch)
