"""A healthy model passes; models that only hide their gradients are seen."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import masking
from fedsafe_tff.evaluation.masking import check_masking
from fedsafe_tff.models.functional import FunctionalModel
from tests.attacks import trained

EPS = 0.04
COUNT = 60
IMAGES, LABELS = trained.images(COUNT, 5)
# At 20 steps PGD is not at its end on this model, which a check would tell, and rightly.
SETTINGS = {"eps": EPS, "key": keys.root(0), "steps": 40, "restarts": 2, "queries": 150, "draws": 5}


def report(change=None, weights=None, **more):
  model, trained_weights = trained.model()
  if change is not None:
    apply = model.apply_fn
    model = dataclasses.replace(
      model, apply_fn=lambda w, x, key, training: change(apply, w, x, key, training)
    )
  weights = trained_weights if weights is None else weights
  return check_masking(model, weights, IMAGES, LABELS, **(SETTINGS | more))


# Enough to see what is planted.
CHEAP = {"steps": 6, "restarts": 1, "queries": 60, "draws": 2}


def failed(found):
  return {check.name for check in found.failed}


@pytest.fixture(scope="module")
def healthy():
  model, weights = trained.model()
  return report(surrogate=(model, weights))


def test_a_healthy_model_passes(healthy):
  assert healthy.passed, healthy.failed
  assert len(healthy.checks) == 9 and all(check.passed for check in healthy.checks)
  assert healthy.images > 0.9 * COUNT
  assert healthy.asr_by_eps[0.5] >= 0.99 > healthy.asr_by_eps[EPS] > 0.1
  losses = list(healthy.loss_by_steps.values())
  assert losses == sorted(losses)


def test_a_summary_is_json(healthy):
  made = json.loads(json.dumps(healthy.summary()))
  assert made["passed"] is True and {check["name"] for check in made["checks"]} >= {"black_box"}
  assert all("\n" not in check["text"] for check in made["checks"])


def test_a_surrogate_that_was_not_given_is_no_failure_and_is_said(healthy):
  found = report(queries=5, restarts=1, steps=4, draws=1)
  (check,) = [check for check in found.checks if check.name == "surrogate"]
  assert check.passed is None and "no undefended surrogate" in check.text


def shattered(apply, w, x, key, training):
  """Pixels in steps of 1/12: no gradient comes through."""
  return apply(w, tf.round(12.0 * x) / 12.0, key, training)


def saturated(apply, w, x, key, training):
  """Sure of everything: the cross-entropy is 0, and so is its gradient."""
  return 1e4 * apply(w, x, key, training)


@pytest.mark.parametrize("mask", [shattered, saturated])
def test_a_masked_model_is_seen(mask):
  found = report(mask, **CHEAP)
  assert not found.passed
  assert {"zero_gradients", "black_box"} <= failed(found)
  assert all(check.text for check in found.failed)


def test_a_gradient_that_leads_astray_is_seen_by_who_does_not_follow_it():
  """Not zero, but of another model: only those who ask the model itself come further."""
  astray = tuple(np.random.default_rng(3).normal(0, 0.3, w.shape) for w in trained.model()[1])
  astray = tuple(tf.constant(w, tf.float32) for w in astray)

  def misleading(apply, w, x, key, training):
    other = apply(astray, x, key, training)
    return other + tf.stop_gradient(apply(w, x, key, training) - other)

  model, weights = trained.model()
  found = report(misleading, surrogate=(model, weights), **CHEAP)
  assert "zero_gradients" not in failed(found)
  assert {"black_box", "surrogate"} <= failed(found)


def shelved(apply, w, x, key, training):
  """No gradient in noise, where the climb of a large ball starts."""
  logits = apply(w, x, key, training)
  noise = tf.reduce_mean(tf.abs(x[:, 1:] - x[:, :-1]), axis=[1, 2, 3])[:, None]
  return tf.where(noise > 0.2, 0.0 * logits, logits)


@pytest.mark.parametrize("eps", [EPS, 0.1, 0.3])
def test_what_fools_in_a_small_ball_fools_in_a_larger_one(eps):
  found = report(shelved, **(CHEAP | {"eps": eps}))
  assert list(found.asr_by_eps) == sorted({eps, 0.1, 0.25, 0.5})
  rates = list(found.asr_by_eps.values())
  assert rates == sorted(rates) and rates[-1] >= 0.99


def test_what_a_larger_ball_holds_says_nothing_of_a_smaller_one(monkeypatch):
  attack = masking._Measure.attack

  def found(self, spec, *arguments, **more):
    came = attack(self, spec, *arguments, **more)
    return dataclasses.replace(came, fooled=np.full_like(came.fooled, spec.eps >= 0.3))

  monkeypatch.setattr(masking._Measure, "attack", found)
  assert report(**(CHEAP | {"eps": 0.3})).asr_by_eps == {0.1: 0.0, 0.25: 0.0, 0.3: 1.0, 0.5: 1.0}


def test_what_momentum_alone_finds_counts(monkeypatch):
  attack = masking._Measure.attack

  def momentum_alone(self, spec, *arguments, **more):
    came = attack(self, spec, *arguments, **more)
    fooled = spec.name == "mi_fgsm" and spec.eps >= 0.25
    return dataclasses.replace(came, fooled=np.full_like(came.fooled, fooled))

  monkeypatch.setattr(masking._Measure, "attack", momentum_alone)
  assert report(**CHEAP).asr_by_eps == {EPS: 0.0, 0.1: 0.0, 0.25: 1.0, 0.5: 1.0}


# One pixel, two classes: class 1 where it is above a half.
PIXEL = FunctionalModel(
  "pixel",
  (1, 1, 1),
  2,
  lambda key: (tf.zeros([]),),
  lambda w, x, key, training: tf.stack(
    [tf.zeros(tf.shape(x)[0]), x[:, 0, 0, 0] - 0.5 + w[0]], 1
  ),
)


def checks_of_pixels(monkeypatch, rate=lambda spec: 0.0, loss=lambda spec: 0.0, draws=1):
  """The checks by name where every pixel is 0.6 and attacks come to what is given."""

  def came(self, spec, *arguments, **more):
    return masking._Came(np.arange(100) < round(100 * rate(spec)), loss(spec))

  monkeypatch.setattr(masking._Measure, "attack", came)
  found = check_masking(
    PIXEL, PIXEL.init(keys.root(0)), np.full([400, 1, 1, 1], 0.6, np.float32),
    np.ones(400, np.int32), eps=0.15, key=keys.root(0), steps=20, draws=draws,
  )  # fmt: skip
  return {check.name: check for check in found.checks}


@pytest.mark.parametrize(
  "losses, passed",
  [
    ((1.0, 2.0, 3.0), True),
    ((1.0, 2.0, 1.91), True),
    ((1.0, 2.0, 1.89), False),
    ((2.0, 1.0, 3.0), False),
  ],
)
def test_the_loss_grows_from_one_step_to_all_and_to_twice_as_many(monkeypatch, losses, passed):
  by_steps = dict(zip((1, 20, 40), losses))
  found = checks_of_pixels(monkeypatch, loss=lambda spec: by_steps.get(spec.steps, 0.0))
  assert found["loss_grows"].passed is passed
  assert found["loss_grows"].value == losses[1] - losses[0]


def test_a_black_box_is_held_against_pgd_from_one_start(monkeypatch):
  def rate(spec):
    if spec.name == "square":
      return 0.57
    return 0.58 if spec.restarts > 1 else 0.5

  found = checks_of_pixels(monkeypatch, rate)
  assert found["black_box"].passed is False and found["restarts"].passed is True
  assert found["black_box"].value == pytest.approx(0.07)


@pytest.mark.parametrize("draws", [1, 2, 4])
def test_each_random_noise_is_drawn_anew(monkeypatch, draws):
  """It takes a pixel across with a chance of a half."""
  found = checks_of_pixels(monkeypatch, draws=draws)["random_noise"]
  assert found.value == pytest.approx(1 - 0.5**draws, abs=0.1)


def test_a_model_without_anything_right_can_not_be_masked():
  model, weights = trained.model()
  with pytest.raises(UserError, match="none of the images right"):
    check_masking(model, weights, IMAGES[:0], LABELS[:0], **SETTINGS)
