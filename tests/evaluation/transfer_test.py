import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.controls import Controls
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.evaluation.transfer import AttackResult, Evaluator, other_mean, self_mean
from fedsafe_tff.models.functional import FunctionalModel

# One pixel, two classes: class 1 where the pixel is above the threshold.
MODEL = FunctionalModel(
  name="threshold",
  input_shape=(1, 1, 1),
  num_classes=2,
  init_fn=lambda key: (tf.zeros([]),),
  apply_fn=lambda w, x, key, training: tf.stack(
    [tf.zeros(tf.shape(x)[0]), 10.0 * (x[:, 0, 0, 0] - w[0])], 1
  ),
)
IMAGES = np.array([51, 102, 153, 204], np.uint8).reshape(-1, 1, 1, 1)  # 0.2 0.4 0.6 0.8
LABELS = np.array([0, 0, 1, 1], np.int32)


def evaluator(*thresholds):
  copies = [(tf.constant(t, tf.float32),) for t in thresholds]
  return Evaluator(MODEL, copies, IMAGES, LABELS, key=keys.root(0), batch_size=3)


def test_matrix_by_hand():
  result = evaluator(0.5, 0.7).attack(AttackSpec("fgsm", 0.15))
  # The attack moves every pixel by 0.15 towards the other class: 0.35 0.55 0.45 0.65.
  np.testing.assert_allclose(result.flip, [[0.5, 0.25], [0.5, 0.25]])
  np.testing.assert_allclose(result.accuracy, [[0.5, 0.5], [0.5, 0.5]])
  # The second model gets 0.6 wrong before; of the three it gets right, 0.8 flips.
  np.testing.assert_allclose(result.flip_correct, [[0.5, 1 / 3], [0.5, 1 / 3]])
  np.testing.assert_allclose(result.clean_accuracy, [1.0, 0.75])
  summary = result.summary()
  assert summary["asr_self"] == 0.375 and summary["asr_avg"] == 0.375
  assert len(result.rows()) == 4


def test_without_perturbation_nothing_flips():
  for name in ("fgsm", "pgd"):
    result = evaluator(0.5, 0.7).attack(AttackSpec(name, 0.0))
    assert not result.flip.any() and not result.random_noise_flip.any()


def test_identical_copies_give_what_separate_ones_would():
  spec = AttackSpec("fgsm", 0.15)
  same = evaluator(0.5, 0.5, 0.7).attack(spec)
  single = evaluator(0.5, 0.7).attack(spec)
  np.testing.assert_array_equal(same.flip[0], single.flip[0][[0, 0, 1]])
  np.testing.assert_array_equal(same.flip[1], same.flip[0])


def test_colluders_attack_the_mean_of_their_copies():
  """Thresholds around 0.5: those who know three of them know it exactly."""
  thresholds = (0.40, 0.50, 0.60, 0.45)
  copies = [(tf.constant(t, tf.float32),) for t in thresholds]
  made = {}
  for count in (1, 2, 3):
    scored = Evaluator(MODEL, copies, IMAGES, LABELS, key=keys.root(0), colluders=count)
    crafted = []
    craft = scored._crafter.craft

    def spied(held, spec, rows, craft=craft, crafted=crafted):
      ((threshold,),) = held.models
      crafted.append(float(threshold))
      return craft(held, spec, rows)

    scored._crafter.craft = spied
    made[count] = scored.attack(AttackSpec("fgsm", 0.15)), crafted
  assert made[1][1] == pytest.approx(thresholds)
  assert made[2][1] == pytest.approx([0.45, 0.55, 0.525, 0.425])
  assert made[3][1][0] == pytest.approx(0.5)
  result = made[3][0]
  assert result.summary()["asr_avg"] == pytest.approx(
    np.mean([result.flip[0, 3], result.flip[1, 0], result.flip[2, 1], result.flip[3, 2]])
  )
  assert result.summary()["asr_self"] == pytest.approx(np.diag(result.flip).mean())


def test_all_clients_together_leave_no_other():
  copies = [(tf.constant(t, tf.float32),) for t in (0.4, 0.6)]
  together = Evaluator(MODEL, copies, IMAGES, LABELS, key=keys.root(0), colluders=2)
  assert together.attack(AttackSpec("fgsm", 0.15)).summary()["asr_avg"] is None
  with pytest.raises(UserError, match="--attack_colluders=3 is more than the 2 clients"):
    Evaluator(MODEL, copies, IMAGES, LABELS, key=keys.root(0), colluders=3)


def test_colluders_with_one_and_the_same_model_learn_nothing():
  same = evaluator(0.5, 0.5, 0.5).attack(AttackSpec("pgd", 0.15))
  copies = [(tf.constant(0.5),)] * 3
  pooled = Evaluator(MODEL, copies, IMAGES, LABELS, key=keys.root(0), colluders=2)
  np.testing.assert_array_equal(pooled.attack(AttackSpec("pgd", 0.15)).flip, same.flip)


def test_sizes_share_one_compiled_attack():
  model = dataclasses.replace(MODEL)  # of which nothing is compiled yet
  copies = [(tf.constant(0.5),), (tf.constant(0.7),)]
  scored = Evaluator(model, copies, IMAGES, LABELS, key=keys.root(0))
  for eps in (0.05, 0.1, 0.15):
    scored.attack(AttackSpec("pgd", eps, steps=3))
  assert sum(form[0] == "attack" for form in model._graphs) == 1


def test_rows_are_adversaries_and_columns_victims():
  # Two pixels; the first model looks at one of them, the second at both.
  model = FunctionalModel(
    "two",
    (1, 2, 1),
    2,
    lambda key: (tf.zeros([2]),),
    lambda w, x, key, training: tf.stack(
      [tf.zeros(tf.shape(x)[0]), 10.0 * tf.linalg.matvec(x[:, 0, :, 0] - 0.5, w[0])], 1
    ),
  )
  copies = [(tf.constant([1.0, 0.0]),), (tf.constant([1.0, 1.0]),)]
  images = np.full([1, 1, 2, 1], 153, np.uint8)  # 0.6 0.6
  evaluation = Evaluator(model, copies, images, np.array([1]), key=keys.root(0))
  result = evaluation.attack(AttackSpec("fgsm", 0.15))
  # The first makes 0.45 0.6, which the second still sees as class 1; the second makes 0.45 0.45.
  np.testing.assert_array_equal(result.flip, [[1, 0], [1, 1]])
  np.testing.assert_array_equal(result.accuracy, [[0, 1], [0, 0]])
  summary = result.summary()
  assert summary["asr_self"] == 1.0 and summary["asr_avg"] == 0.5
  assert summary["attack_accuracy_self"] == 0.0 and summary["attack_accuracy_avg"] == 0.5
  pairs = {(row["adversary"], row["victim"]): row["asr"] for row in result.rows()}
  assert pairs == {(0, 0): 1.0, (0, 1): 0.0, (1, 0): 1.0, (1, 1): 1.0}


def test_one_client_has_no_others():
  summary = evaluator(0.5).attack(AttackSpec("fgsm", 0.15)).summary()
  assert summary["asr_self"] == 0.5
  for name in ("asr_avg", "asr_avg_correct", "attack_accuracy_avg"):
    assert summary[name] is None


def test_random_starts_are_repeatable_and_differ_between_adversaries():
  spec = AttackSpec("pgd", 0.3, steps=1, step_size=1e-6, random_start=True)
  first, again = (Crafter(MODEL, IMAGES, LABELS, key=keys.root(0), batch_size=3) for _ in range(2))
  held = [Holding(((tf.constant(0.5),),), stream=adversary) for adversary in (0, 1)]
  crafted = [first.craft(each, spec)[0] for each in held]
  np.testing.assert_array_equal(crafted[0], again.craft(held[0], spec)[0])
  assert (crafted[0] != crafted[1]).all()


def test_random_starts_differ_between_batches():
  spec = AttackSpec("pgd", 0.1, steps=1, step_size=1e-6, random_start=True)
  twice = np.tile(IMAGES, (2, 1, 1, 1)), np.tile(LABELS, 2)
  crafter = Crafter(MODEL, *twice, key=keys.root(0), batch_size=4)
  made, _ = crafter.craft(Holding(((tf.constant(0.5),),)), spec)
  assert (made[:4] != made[4:]).all()


def test_random_noise_is_drawn_anew_for_each_copy_and_batch():
  images, clean = np.tile(IMAGES[2:3], (400, 1, 1, 1)), np.ones(400, np.int32)
  controls = Controls(MODEL, images, clean, key=keys.root(0), batch_size=200)
  first, second = (
    controls.noise_flips((tf.constant(0.5),), clean, 0.15, stream) for stream in (0, 1)
  )
  # Each flips with a chance of a half, and so do two that are independent differ.
  assert np.mean(first != second) == pytest.approx(0.5, abs=0.1)
  assert np.mean(first[:200] != first[200:]) == pytest.approx(0.5, abs=0.15)


def test_random_noise_control_by_hand():
  # Noise of size 0.15 moves 0.6 and 0.4 across 0.5 with probability 1/2 each, the rest never.
  scored = Evaluator(
    MODEL,
    [(tf.constant(0.5),)],
    np.tile(IMAGES, (200, 1, 1, 1)),
    np.tile(LABELS, 200),
    key=keys.root(3),
  )
  flips = scored.attack(AttackSpec("fgsm", 0.15)).random_noise_flip
  assert abs(flips[0] - 0.25) < 0.06
  np.testing.assert_array_equal(scored.attack(AttackSpec("pgd", 0.15)).random_noise_flip, flips)


def test_nothing_to_evaluate_is_a_user_error():
  with pytest.raises(UserError, match="0 models"):
    evaluator()


def test_self_and_avg_are_never_mixed():
  matrix = np.array([[1.0, 0.0], [0.0, 1.0]])
  assert self_mean(matrix) == 1.0 and other_mean(matrix) == 0.0
  assert other_mean(np.array([[0.3]])) is None


def test_zero_gradients_are_counted():
  dead = FunctionalModel(
    "dead",
    (1, 1, 1),
    2,
    MODEL.init_fn,
    lambda w, x, key, training: tf.nn.relu(MODEL.apply_fn(w, x, key, training)) * 1.0,
  )
  copies = [(tf.constant(0.5),)]
  result = Evaluator(dead, copies, IMAGES, LABELS, key=keys.root(0)).attack(AttackSpec("fgsm", 0.1))
  assert isinstance(result, AttackResult)
  assert result.zero_gradient[0] == 0.5
