import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft, random_noise
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
  assert (made.numpy() != craft(linear.logits_fn, X, wrong, AttackSpec(**spec), key)).any()


def test_random_noise_has_the_size_and_no_direction():
  x = tf.fill([50, 8, 8, 1], 0.5)
  made = random_noise(x, keys.root(1), eps=0.03).numpy() - 0.5
  np.testing.assert_allclose(np.abs(made), 0.03, atol=1e-6)
  assert abs((made > 0).mean() - 0.5) < 0.03


@pytest.mark.parametrize(
  "change", [{"eps": -0.1}, {"eps": 1.5}, {"eps": float("nan")}, {"steps": 0}, {"name": "cw"},
             {"labels": "guess"}, {"restarts": 0}]
)
def test_bad_specs_are_user_errors(change):
  with pytest.raises(UserError):
    AttackSpec(**({"name": "pgd", "eps": 0.1} | change))
