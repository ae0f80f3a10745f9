"""FGSM and PGD without a random start equal cleverhans, Foolbox and ART: no pixel differs."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.pgd import pgd

EPS, STEP, STEPS = 0.03, 0.007, 8


@pytest.fixture(scope="module")
def keras_model():
  tf.keras.utils.set_random_seed(3)
  return tf.keras.Sequential([
    tf.keras.layers.Input((12, 12, 1)),
    tf.keras.layers.Conv2D(8, 3, activation="relu"),
    tf.keras.layers.MaxPool2D(),
    tf.keras.layers.Flatten(),
    tf.keras.layers.Dense(3),
  ])


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(5)
  x = rng.uniform(0, 1, (10, 12, 12, 1)).astype(np.float32)
  x[0], x[1, :4] = 0.0, 1.0  # the borders of the pixel range
  return x, rng.integers(0, 3, 10).astype(np.int32)


def ours(keras_model, batch, name):
  x, y = tf.constant(batch[0]), tf.constant(batch[1])
  if name == "fgsm":
    return fgsm(keras_model, x, y, eps=EPS).numpy()
  return pgd(keras_model, x, y, eps=EPS, step_size=STEP, steps=STEPS).numpy()


def same(left, right, x):
  assert (left != x).mean() > 0.5  # the attack did something
  np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_cleverhans(keras_model, batch, name):
  from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
  from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

  x, y = batch
  box = {"clip_min": 0.0, "clip_max": 1.0, "y": y, "sanity_checks": False}
  if name == "fgsm":
    theirs = fast_gradient_method(keras_model, tf.constant(x), EPS, np.inf, **box)
  else:
    theirs = projected_gradient_descent(
      keras_model, tf.constant(x), EPS, STEP, STEPS, np.inf, rand_init=False, **box
    )
  same(ours(keras_model, batch, name), theirs.numpy(), x)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_foolbox(keras_model, batch, name):
  import foolbox

  x, y = batch
  model = foolbox.TensorFlowModel(keras_model, bounds=(0, 1))
  if name == "fgsm":
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
  else:
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
      abs_stepsize=STEP, steps=STEPS, random_start=False
    )
  theirs, _, _ = attack(model, tf.constant(x), tf.constant(y), epsilons=EPS)
  same(ours(keras_model, batch, name), theirs.numpy(), x)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_art(keras_model, batch, name):
  from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
  from art.estimators.classification import TensorFlowV2Classifier

  x, y = batch
  classifier = TensorFlowV2Classifier(
    model=keras_model,
    nb_classes=3,
    input_shape=(12, 12, 1),
    loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    clip_values=(0, 1),
  )
  if name == "fgsm":
    attack = FastGradientMethod(classifier, eps=EPS)
  else:
    attack = ProjectedGradientDescent(
      classifier, eps=EPS, eps_step=STEP, max_iter=STEPS, num_random_init=0, verbose=False
    )
  same(ours(keras_model, batch, name), attack.generate(x, y), x)
