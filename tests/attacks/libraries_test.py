"""FGSM and PGD without a random start equal cleverhans, Foolbox and ART: no pixel differs."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.pgd import pgd

# (attack, eps, step, steps): the step goes past the ball's border, or never reaches it.
ATTACKS = [
  ("fgsm", 0.03, None, None),
  ("fgsm", 0.3, None, None),
  ("pgd", 0.03, 0.007, 8),
  ("pgd", 0.03, 0.03 / 6, 6),
  ("pgd", 0.1, 0.08, 5),
  ("pgd", 0.5, 0.06, 12),
]


@pytest.fixture(scope="module")
def keras_model():
  tf.keras.utils.set_random_seed(3)
  return tf.keras.Sequential(
    [
      tf.keras.layers.Input((12, 12, 1)),
      tf.keras.layers.Conv2D(8, 3, activation="relu"),
      tf.keras.layers.MaxPool2D(),
      tf.keras.layers.Flatten(),
      tf.keras.layers.Dense(3),
    ]
  )


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(5)
  x = rng.uniform(0, 1, (10, 12, 12, 1)).astype(np.float32)
  x[0], x[1, :4] = 0.0, 1.0  # the borders of the pixel range
  return x, rng.integers(0, 3, 10).astype(np.int32)


def ours(keras_model, batch, name, eps, step, steps):
  x, y = (tf.convert_to_tensor(part) for part in batch)
  if name == "fgsm":
    return fgsm(keras_model, x, y, eps=eps)
  return pgd(keras_model, x, y, eps=eps, step_size=step, steps=steps)


def same(left, right, x):
  assert (left != x).mean() > 0.5  # the attack did something
  np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("name", "eps", "step", "steps"), ATTACKS)
def test_cleverhans(keras_model, batch, name, eps, step, steps):
  from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
  from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

  x, y = batch
  box = {"clip_min": 0.0, "clip_max": 1.0, "y": y, "sanity_checks": False}
  if name == "fgsm":
    theirs = fast_gradient_method(keras_model, tf.constant(x), eps, np.inf, **box)
  else:
    theirs = projected_gradient_descent(
      keras_model, tf.constant(x), eps, step, steps, np.inf, rand_init=False, **box
    )
  same(ours(keras_model, batch, name, eps, step, steps).numpy(), theirs.numpy(), x)


@pytest.mark.parametrize(("name", "eps", "step", "steps"), ATTACKS)
def test_foolbox(keras_model, batch, name, eps, step, steps):
  import foolbox

  x, y = batch
  model = foolbox.TensorFlowModel(keras_model, bounds=(0, 1))
  if name == "fgsm":
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
  else:
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
      abs_stepsize=step, steps=steps, random_start=False
    )
  theirs, _, _ = attack(model, tf.constant(x), tf.constant(y), epsilons=eps)
  same(ours(keras_model, batch, name, eps, step, steps).numpy(), theirs.numpy(), x)


@pytest.mark.parametrize(("name", "eps", "step", "steps"), ATTACKS)
def test_art(keras_model, batch, name, eps, step, steps):
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
    attack = FastGradientMethod(classifier, eps=eps)
  else:
    attack = ProjectedGradientDescent(
      classifier, eps=eps, eps_step=step, max_iter=steps, num_random_init=0, verbose=False
    )
  same(ours(keras_model, batch, name, eps, step, steps).numpy(), attack.generate(x, y), x)


@pytest.mark.parametrize(("name", "eps", "step", "steps"), ATTACKS)
def test_a_compiled_attack_is_the_same(keras_model, batch, name, eps, step, steps):
  compiled = tf.function(lambda x, y: ours(keras_model, (x, y), name, eps, step, steps))
  made = compiled(tf.constant(batch[0]), tf.constant(batch[1])).numpy()
  same(ours(keras_model, batch, name, eps, step, steps).numpy(), made, batch[0])
