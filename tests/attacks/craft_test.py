import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft, craft_counted, random_noise
from fedsafe_tff.attacks.ensemble import Ensemble
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.attacks.registry import ATTACKS, Attack
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


def logits_of_four(x):
  """Four classes; which is which follows from the first pixel."""
  first = tf.reshape(x, [-1, 4])[:, :1]
  return -tf.abs(first - tf.constant([[0.0, 0.3, 0.6, 0.9]])) + tf.reduce_sum(0.0 * x)


@pytest.mark.parametrize(
  ("target", "expected"), [("runner_up", [1, 0, 3, 2]), ("least_likely", [3, 3, 0, 0])]
)
@pytest.mark.parametrize("many", [False, True])
def test_targets_are_chosen_from_the_models_logits(target, expected, many):
  x = np.zeros([4, 2, 2, 1], np.float32)
  x[:, 0, 0, 0] = [0.1, 0.25, 0.7, 0.8]
  y = tf.constant([0, 1, 2, 3])
  models = logits_of_four
  if many:
    models = Ensemble(lambda weights, x: logits_of_four(x), (tf.zeros([2, 1]),), 4)
  spec = AttackSpec("pgd", 0.3, steps=3, target=target)
  made = craft(models, x, y, spec, keys.root(0))
  settings = {"eps": 0.3, "step_size": 0.1, "steps": 3, "targeted": True}
  np.testing.assert_array_equal(made, pgd(logits_of_four, x, tf.constant(expected), **settings))


def test_given_targets_are_taken_as_they_are():
  x, y = tf.constant(X), tf.constant(np.arange(8) % 2, tf.int32)
  made = craft(linear.logits_fn, x, y, AttackSpec("fgsm", 0.1, target="given"), keys.root(0))
  away = craft(linear.logits_fn, x, 1 - y, AttackSpec("fgsm", 0.1), keys.root(0))
  np.testing.assert_allclose(made, away, atol=1e-7)
  predicted = AttackSpec("fgsm", 0.1, labels="predicted", target="given")
  np.testing.assert_array_equal(craft(linear.logits_fn, x, y, predicted, keys.root(0)), made)


def test_an_attack_that_counts_tells_its_queries_and_another_none():
  y = tf.constant(np.asarray(tf.argmax(linear.logits_fn(tf.constant(X)), 1)), tf.int32)
  counted = craft_counted(linear.logits_fn, X, y, AttackSpec("square", 0.1, steps=9), keys.root(0))
  assert counted.queries.shape == [8] and counted.queries.numpy().max() <= 9
  assert craft_counted(linear.logits_fn, X, y, AttackSpec("pgd", 0.1), keys.root(0)).queries is None


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_one_function_of_one_signature_for_all_sizes(name, classes):
  """Under each it stays in the ball and the range, repeats itself, and needs one trace."""
  matrix = np.random.default_rng(classes).normal(0, 2, (36, classes)).astype(np.float32)
  rng = np.random.default_rng(1)
  x = tf.constant(rng.uniform(0, 1, (5, 6, 6, 1)), tf.float32)
  spec = AttackSpec(name, 0.0, steps=4, options={"samples": 2} if name == "vmi_fgsm" else {})

  @tf.function(
    input_signature=[tf.TensorSpec([None, 6, 6, 1]), tf.TensorSpec([None], tf.int32)]
    + [tf.TensorSpec([]), tf.TensorSpec([]), keys.SPEC]
  )
  def attack(x, y, eps, step_size, key):
    def logits_fn(x):
      return tf.tanh(tf.reshape(x, [-1, 36]) @ matrix)

    return craft(logits_fn, x, y, spec, key, eps=eps, step_size=step_size)

  y = tf.argmax(tf.reshape(x, [-1, 36]) @ matrix, axis=1, output_type=tf.int32)
  for eps in (0.05, 0.3):
    arguments = (tf.constant(eps), tf.constant(eps / 2), keys.root(3))
    made = attack(x, y, *arguments).numpy()
    reach = np.abs(made - x).max()
    assert 0.9 * eps <= reach <= eps + 1e-6 and made.min() >= 0 and made.max() <= 1
    np.testing.assert_array_equal(made, attack(x, y, *arguments))
    few = attack(x[:2], y[:2], *arguments).numpy()
    assert few.shape == (2, 6, 6, 1)
  assert attack.experimental_get_tracing_count() == 1


def test_a_new_attack_takes_a_function_and_a_line(monkeypatch):
  def shift(models, x, y, *, eps, key=None, targeted=False, share=0.5):
    del models, y, key, targeted
    return tf.clip_by_value(x + share * eps, 0.0, 1.0)

  monkeypatch.setitem(ATTACKS, "shift", Attack(shift, needs="labels"))
  y = tf.zeros([8], tf.int32)
  made = craft(linear.logits_fn, X, y, AttackSpec("shift", 0.1), keys.root(0))
  np.testing.assert_allclose(made, X + 0.05, atol=1e-6)
  more = AttackSpec("shift", 0.1, options={"share": 1.0})
  np.testing.assert_allclose(craft(linear.logits_fn, X, y, more, keys.root(0)), X + 0.1, atol=1e-6)
  with pytest.raises(UserError, match="has no option 'shape': it has share"):
    AttackSpec("shift", 0.1, options={"shape": 1.0})
  with pytest.raises(UserError, match="the attack's norm is l2, but would not be used"):
    AttackSpec("shift", 0.1, norm="l2")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"eps": -0.1}, "eps is -0.1, but must be between 0 and 1"),
    ({"eps": 1.5}, "between 0 and 1"),
    ({"eps": float("nan")}, "eps is nan"),
    ({"eps": float("inf"), "norm": "l2"}, "eps is inf, but must be at least 0"),
    ({"eps": -1.0, "norm": "l2"}, "at least 0"),
    ({"steps": 0}, "steps is 0, but must be at least 1"),
    ({"step_size": -0.1}, "step_size"),
    ({"name": "cw"}, "'cw' is unknown: choose fgsm, pgd, mi_fgsm.* or square, or art:NAME"),
    ({"name": "art:"}, "is unknown"),
    ({"labels": "guess"}, "labels 'guess' are unknown: choose true or predicted"),
    ({"norm": "l1"}, "norm 'l1' is unknown: choose linf or l2"),
    ({"loss": "hinge"}, "loss 'hinge' is unknown: choose .*cross_entropy, margin or dlr"),
    ({"target": "best"}, "target 'best' is unknown"),
    ({"keep": "best"}, "keep 'best' is unknown: choose last or worst"),
    ({"restarts": 0}, "restarts is 0"),
    ({"restarts": 2}, "would all be alike"),
    ({"options": {"decay": 1.0}}, "pgd has no option 'decay': it has no options"),
    ({"name": "mi_fgsm", "options": {"radius": 1.0}}, "no option 'radius': it has decay"),
    ({"name": "fgsm", "keep": "worst"}, "keep is worst, but would not be used"),
    (
      {"name": "apgd", "step_size": 0.1},
      "step_size is 0.1, but would not be used: attack apgd has",
    ),
    ({"name": "square", "random_start": True}, "random_start is True, but would not be used"),
    ({"name": "art:DeepFool", "steps": 50}, "takes its settings as options"),
  ],
)
def test_bad_specs_are_user_errors(change, message):
  with pytest.raises(UserError, match=message) as error:
    AttackSpec(**({"name": "pgd", "eps": 0.1} | change))
  assert "\n" not in str(error.value)


def test_specs_are_values():
  """Caches and resumed evaluations find what was made under an equal spec, or under its text."""
  spec = AttackSpec("pgd", 0.1, 20, 0.05, True, 2, "predicted")
  assert repr(spec) == (
    "AttackSpec(name='pgd', eps=0.1, steps=20, step_size=0.05, random_start=True, restarts=2, "
    "labels='predicted')"
  )
  assert spec == AttackSpec("pgd", 0.1, 20, 0.05, True, 2, "predicted", "linf", "", "", "last", ())
  other = AttackSpec("pgd", 0.1, 20, 0.05, True, 2, "predicted", norm="l2", keep="worst")
  assert other != spec and repr(other).endswith("labels='predicted', norm='l2', keep='worst')")
  first = AttackSpec("di_fgsm", 0.1, options={"probability": 0.5, "decay": 0.9})
  second = AttackSpec("di_fgsm", 0.1, options=(("decay", 0.9), ("probability", 0.5)))
  assert first == second and hash(first) == hash(second)
  assert first.arguments()["decay"] == 0.9


def test_it_is_known_which_attacks_draw():
  assert not AttackSpec("pgd", 0.1).draws and AttackSpec("pgd", 0.1, random_start=True).draws
  assert AttackSpec("square", 0.1).draws and AttackSpec("di_fgsm", 0.1).draws
  assert not AttackSpec("mi_fgsm", 0.1).draws and AttackSpec("art:DeepFool", 0.1).draws
