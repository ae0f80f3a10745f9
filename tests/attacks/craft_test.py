import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft, random_noise
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from tests.attacks import linear

X = np.random.default_rng(2).uniform(0.2, 0.8, (8, 2, 2, 1)).astype(np.float32)


def test_predicted_labels_are_the_models_own():
  predicted = linear.logits_fn(tf.constant(X)).numpy().argmax(1).astype(np.int32)
  wrong = tf.constant(1 - predicted)
  spec = {"name": "fgsm", "eps": 0.1}
  key = keys.root(0)
  made = craft(linear.logits_fn, tf.constant(X), wrong, AttackSpec(labels="predicted", **spec), key)
  true = craft(linear.logits_fn, tf.constant(X), tf.constant(predicted), AttackSpec(**spec), key)
  np.testing.assert_array_equal(made, true)
  assert (made.numpy() != craft(linear.logits_fn, X, wrong, AttackSpec(**spec), key).numpy()).any()


def test_a_pgd_spec_means_what_pgd_is_told():
  y = tf.zeros([8], tf.int32)
  key = keys.root(4)
  spec = AttackSpec("pgd", 0.1, steps=4, random_start=True, restarts=3)
  made = craft(linear.logits_fn, X, y, spec, key)
  direct = pgd(
    linear.logits_fn,
    X,
    y,
    eps=0.1,
    step_size=0.1 / 4,
    steps=4,
    random_start=True,
    key=key,
    restarts=3,
  )
  np.testing.assert_array_equal(made, direct)
  spec = AttackSpec("pgd", 0.1, steps=4, step_size=0.01)
  made = craft(linear.logits_fn, X, y, spec, key)
  np.testing.assert_allclose(np.abs(made - X).max(), 0.04, atol=1e-6)


def test_size_and_step_can_be_overridden():
  y = tf.zeros([8], tf.int32)
  spec, key = AttackSpec("pgd", 0.0, steps=3), keys.root(0)
  made = craft(linear.logits_fn, X, y, spec, key, eps=tf.constant(0.1), step_size=tf.constant(0.05))
  direct = craft(linear.logits_fn, X, y, AttackSpec("pgd", 0.1, 3, 0.05), key)
  np.testing.assert_array_equal(made, direct)


def test_random_noise_has_the_size_and_no_direction():
  x = tf.fill([50, 8, 8, 1], 0.5)
  made = random_noise(x, keys.root(1), eps=0.03).numpy() - 0.5
  np.testing.assert_allclose(np.abs(made), 0.03, atol=1e-6)
  assert abs((made > 0).mean() - 0.5) < 0.03
  again, other = (random_noise(x, keys.root(s), eps=0.03).numpy() - 0.5 for s in (1, 2))
  np.testing.assert_array_equal(made, again)
  assert abs((made == other).mean() - 0.5) < 0.03  # another key, independent signs


def test_random_noise_stays_in_the_pixel_range():
  made = random_noise(tf.constant([[0.0, 1.0]] * 50), keys.root(1), eps=0.03).numpy()
  assert made.min() == 0 and made.max() == 1


@pytest.mark.parametrize(
  "change",
  [
    {"eps": -0.1},
    {"eps": 1.5},
    {"eps": float("nan")},
    {"steps": 0},
    {"step_size": -0.1},
    {"name": "cw"},
    {"labels": "guess"},
    {"restarts": 0},
    {"restarts": 2},
  ],
)
def test_bad_specs_are_user_errors(change):
  with pytest.raises(UserError):
    AttackSpec(**({"name": "pgd", "eps": 0.1} | change))
