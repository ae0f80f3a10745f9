"""Attacks and attackers that somebody wrote down."""

import pytest

from fedsafe_tff.attacks import art_adapter
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.chosen import chosen, known, trial
from fedsafe_tff.evaluation.suites import SUITES


def test_every_attack_under_every_attacker():
  suite = chosen(["own_copy", "averaging"], ["square", "pgd"])
  assert [(t.attacker, t.attack) for t in suite.trials] == [
    ("own_copy", "square"), ("own_copy", "pgd"), ("averaging", "square"), ("averaging", "pgd"),
  ]  # fmt: skip
  assert suite.name not in SUITES and suite.images == SUITES["strong"].images
  assert {t.attacker for t in chosen([], ["pgd"]).trials} == {"own_copy"}


def test_attackers_alone_keep_the_attacks_that_strong_has_of_them():
  suite = chosen(["averaging", "surrogate"], [])
  strong = SUITES["strong"].trials
  assert suite.trials == tuple(
    t for name in ("averaging", "surrogate") for t in strong if t.attacker == name
  )
  assert set(known()) == {
    *SUITES["strong"].attackers, "black_box_labels", "colluding_imitation", "imitation_all_images",
  }  # fmt: skip
  (together,) = chosen(["colluding_imitation:3"], []).trials
  assert (together.attacker, together.settings["name"]) == ("colluding_imitation:3", "mi_fgsm")


def test_what_is_not_said_is_as_in_strong_and_what_is_said_wins():
  spec = trial("pgd").spec(0.04)
  assert (spec.steps, spec.random_start, spec.keep, spec.step_size) == (20, True, "worst", 0.005)
  spec = trial("pgd:steps=7,step=0.5,random_start=false,loss=dlr,target=runner_up").spec(0.04)
  assert (spec.steps, spec.step_size, spec.random_start) == (7, 0.02, False)
  assert (spec.loss, spec.target) == ("dlr", "runner_up")
  assert trial("fgsm").spec(0.04) == AttackSpec("fgsm", 0.04)


def test_options_and_sizes_of_its_own():
  made = trial("vmi_fgsm:samples=3,eps=0.5+2.5,norm=l2")
  assert made.sizes == (0.5, 2.5) and made.spec(2.5).norm == "l2"
  assert dict(made.spec(0.5).options)["samples"] == 3


@pytest.mark.parametrize(
  "text, message",
  [
    ("pdg", "attack 'pdg' is unknown: choose fgsm, pgd"),
    ("pgd:steps", "attack 'pgd:steps': write NAME:field=value,field=value"),
    ("pgd:steps=many", "steps is a number, not many"),
    ("pgd:steps=1.5", "steps is a whole number, not 1.5"),
    ("pgd:random_start=maybe", "random_start is true or false, not maybe"),
    ("pgd:step_size=0.1", "step_size can't be set so: write step=SHARE"),
    ("pgd:labels=predicted", "labels can't be set so: they are --attack_labels"),
    ("pgd:samples=3", "attack pgd has no option 'samples'"),
    ("pgd:steps=3,steps=4", "a field is written twice"),
    ("fgsm:steps=20", "fgsm has no steps, but loss, norm, target"),
    ("apgd:step=0.5", "apgd has no step, but"),
    ("art:DeepFool:steps=10", "art:DeepFool has no steps, but norm, target"),
    ("vmi_fgsm:samples=many", "samples is a number, not many"),
    ("vmi_fgsm:samples=-3", "samples is a whole number from 1, not -3"),
    ("mi_fgsm:decay=-1", "decay is a number from 0, not -1"),
    ("di_fgsm:smallest=2", "smallest is a number above 0, 1 at most, not 2"),
    ("square:share=0", "share is a number above 0, 1 at most, not 0"),
    ("art:DeepFool:epsilon=[1]", r"attack's epsilon is \[1\]: give a number, text or a tuple"),
    ("pgd:target=given", "targets can't be given: write least_likely"),
    ("pgd:steps=3000000000", "steps is at most 1000000, not 3000000000"),
    ("pgd:norm=l2", "sizes of l2 are its own: write eps=0.5"),
    ("pgd:eps=1.5", "attack's eps is 1.5, but must be between 0 and 1"),
    ("fgsm:norm=l7,eps=0.1", "norm 'l7' is unknown"),
    ("pgd:restarts=2,random_start=false", "restarts would all be alike"),
  ],
)
def test_what_is_no_attack(text, message):
  with pytest.raises(UserError, match=message) as caught:
    trial(text)
  assert "\n" not in str(caught.value)


def test_what_can_not_be_chosen():
  with pytest.raises(UserError, match="attacker 'insider' is unknown: choose of own_copy, "):
    chosen(["insider"], ["pgd"])
  with pytest.raises(UserError, match="'colluding': write colluding_mean or colluding_ensemble"):
    chosen(["colluding"], ["pgd"])
  with pytest.raises(UserError, match="'worst': all that are named are taken together"):
    chosen(["worst"], ["pgd"])
  with pytest.raises(UserError, match="black_box_labels has no attack of its own: name one"):
    chosen(["black_box_labels"], [])
  with pytest.raises(UserError, match="sizes of two norms are no one scale"):
    chosen([], ["pgd", "pgd:norm=l2,eps=0.5"])
  with pytest.raises(UserError, match="attacker '' is unknown"):
    chosen([""], [])
  with pytest.raises(UserError, match="attack pgd needs gradients, but a black box tells scores"):
    chosen(["own_copy", "black_box"], ["pgd"])
  with pytest.raises(UserError, match="square needs scores, but a black box tells labels"):
    chosen(["black_box_labels"], ["square"])


def test_an_attack_of_art_is_looked_for_before_anything_is_attacked(monkeypatch):
  def missing(name):
    raise UserError(f"attack {name} needs the Python package art")

  monkeypatch.setattr(art_adapter, "find", missing)
  with pytest.raises(UserError, match="art:DeepFool needs the Python package"):
    trial("art:DeepFool:max_iter=3")
