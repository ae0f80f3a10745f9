"""The transfer matrix under attackers who hold more than their own copy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import Averaging, Colluding, NoiseEnsemble, OwnCopy, RoundHistory
from fedsafe_tff.attackers.makers import Imitation, LocalUpdate, Surrogate
from fedsafe_tff.attackers.worst import Worst
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.transfer import Evaluator, transfer_matrix
from fedsafe_tff.evaluation.worst import worst
from fedsafe_tff.models.functional import FunctionalModel

# Two pixels, two classes: class 1 where the weighted sum is above a half.
MODEL = FunctionalModel(
  name="plane",
  input_shape=(1, 2, 1),
  num_classes=2,
  init_fn=lambda key: (tf.zeros([2]),),
  apply_fn=lambda w, x, key, training: tf.stack(
    [tf.zeros(tf.shape(x)[0]), 10.0 * (tf.linalg.matvec(x[:, 0, :, 0], w[0]) - 0.5)], 1
  ),
)
LEFT, RIGHT, BOTH = ([np.array(w, np.float32)] for w in ([1, 0], [0, 1], [0.5, 0.5]))
IMAGES = np.full([6, 1, 2, 1], 0.6, np.float32)
LABELS = np.ones(6, np.int32)
FGSM = AttackSpec("fgsm", 0.15)  # what is not attacked stays at 0.6, what is falls to 0.45


def attack(copies, attacker=None, spec=FGSM, **more):
  return transfer_matrix(MODEL, copies, IMAGES, LABELS, spec, attacker=attacker, **more)


def test_own_copies_reach_no_further_than_they_see():
  result = attack([LEFT, RIGHT])
  np.testing.assert_array_equal(result.flip, [[1, 0], [0, 1]])
  assert result.attacker == "own_copy" and result.queries is None
  assert result.flipped.shape == (2, 2, 6) and result.flipped.dtype == bool
  np.testing.assert_array_equal(result.right, ~result.flipped)
  assert result.summary()["asr_self"] == 1.0 and result.summary()["asr_avg"] == 0.0


@pytest.mark.parametrize(
  "attacker",
  [
    Colluding(3),
    Colluding(3, pool="ensemble"),
    Averaging([[LEFT] * 3, [RIGHT] * 3]),
    RoundHistory([[RIGHT] * 3, [LEFT] * 3]),
    RoundHistory(global_models=[BOTH]),
    LocalUpdate(lambda client, weights, key: BOTH),
    Surrogate(lambda client, key: BOTH),
    Imitation(lambda client, weights, key: BOTH, count=1),
  ],
  ids=lambda attacker: attacker.name,
)
def test_who_sees_both_pixels_fools_everybody(attacker):
  result = attack([LEFT, RIGHT, RIGHT], attacker)
  np.testing.assert_array_equal(result.flip, np.ones([3, 3]))
  assert result.attacker == attacker.name


def test_others_are_those_whose_copies_are_unknown():
  copies = [LEFT, RIGHT, RIGHT]
  pooled = attack(copies, Colluding(2))
  np.testing.assert_array_equal(pooled.outside, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
  # The second pools RIGHT with RIGHT, which leaves LEFT alone; of insiders all are fooled.
  np.testing.assert_array_equal(pooled.flip, [[1, 1, 1], [0, 1, 1], [1, 1, 1]])
  summary = pooled.summary()
  assert summary["asr_avg"] == summary["asr_avg_correct"] == pytest.approx(2 / 3)
  assert summary["attack_accuracy_avg"] == pytest.approx(1 / 3)
  assert attack(copies, Colluding(3)).summary()["asr_avg"] is None
  np.testing.assert_array_equal(attack(copies, Surrogate(lambda c, k: BOTH)).outside, 1 - np.eye(3))


def test_colluders_draw_starts_of_their_own_though_they_hold_the_same():
  spec = AttackSpec("pgd", 0.5, steps=1, step_size=1e-6, random_start=True)
  pooled = attack([LEFT, RIGHT], Colluding(2), spec)
  assert (pooled.predicted[0] != pooled.predicted[1]).any()
  alike = attack([BOTH, BOTH], OwnCopy(), spec)
  np.testing.assert_array_equal(alike.predicted[0], alike.predicted[1])


def test_a_noise_ensemble_finds_what_its_copy_hides():
  """Its copy has forgotten one pixel; of the copies drawn around it every one has its own mind."""
  forgot = [np.array([1.0, 0.001], np.float32)]
  blind = [np.array([0.0, 1.0], np.float32)]
  spec = AttackSpec("mi_fgsm", 0.15, steps=3)
  alone = attack([[np.array([1.0, 0.0], np.float32)], blind], spec=spec)
  assert alone.flip[0, 1] == 0
  drawn = attack([forgot, blind], NoiseEnsemble(0.5, draws=30), spec=spec, key=keys.root(1))
  assert drawn.flip[0, 0] == 1
  again = attack([forgot, blind], NoiseEnsemble(0.5, draws=30), spec=spec, key=keys.root(1))
  np.testing.assert_array_equal(drawn.flipped, again.flipped)


def test_a_black_box_counts_what_it_asks_each_victim():
  copies = [LEFT, RIGHT]
  spec = AttackSpec("square", 0.15, steps=40)
  result = attack(copies, BlackBox("scores"), spec)
  np.testing.assert_array_equal(result.flip, np.ones([2, 2]))
  assert result.queries.shape == (2, 2, 6) and (result.queries > 1).all()
  np.testing.assert_array_equal(result.queries[0], result.queries[1])  # whoever asks
  assert result.queries[:, 0].sum() != 40 * 12  # it stops where it fools
  assert attack(copies, OwnCopy(), spec).queries is None


def test_an_attack_that_needs_more_than_a_black_box_tells_is_refused():
  with pytest.raises(UserError, match="black_box: attack pgd needs gradients, but .* scores alone"):
    attack([LEFT], BlackBox("scores"), AttackSpec("pgd", 0.1))
  with pytest.raises(UserError, match="attack square needs scores, but .* labels alone"):
    attack([LEFT], BlackBox("labels"), AttackSpec("square", 0.1))


def test_a_black_box_of_labels_is_asked_by_arts_attacks():
  options = {"max_iter": 2, "max_eval": 30, "init_eval": 5, "project": False}
  spec = AttackSpec("art:HopSkipJump", 0.15, options=options)
  result = attack([LEFT, RIGHT], BlackBox("labels"), spec)
  assert (result.queries > 5).all() and result.flip[0, 0] == 1


def test_the_worst_is_taken_image_by_image():
  evaluator = Evaluator(MODEL, [LEFT, RIGHT, RIGHT], IMAGES, LABELS, key=keys.root(0))
  parts = [evaluator.attack(FGSM, each) for each in (OwnCopy(), Colluding(2))]
  together = evaluator.attack(FGSM, Worst([OwnCopy(), Colluding(2)]))
  np.testing.assert_array_equal(together.flipped, parts[0].flipped | parts[1].flipped)
  np.testing.assert_array_equal(together.right, parts[0].right & parts[1].right)
  np.testing.assert_array_equal(together.outside, parts[0].outside & parts[1].outside)
  assert together.attacker == "worst" and len(together.specs) == 2
  assert worst([parts[0], parts[0]]).attacker == "own_copy"


def test_the_worst_of_single_images_is_more_than_the_worst_rate():
  result = attack([LEFT, RIGHT])
  half = np.arange(6) < 3
  first = dataclasses.replace(result, flipped=np.broadcast_to(half, (2, 2, 6)))
  second = dataclasses.replace(result, flipped=np.broadcast_to(~half, (2, 2, 6)))
  assert first.flip.max() == 0.5 and worst([first, second]).flip.min() == 1.0


def test_the_worst_has_a_flipped_label_where_there_is_one_and_then_a_wrong_one():
  clean, truth = np.array([0, 0, 0, 0, 1, 1]), 1

  def came(*labels):
    after = np.reshape(labels, [1, 1, 6])
    return dataclasses.replace(
      attack([LEFT]), predicted=after, flipped=after != clean, right=after == truth
    )

  together = worst([came(0, 1, 1, 2, 1, 1), came(1, 0, 2, 1, 2, 1)])
  np.testing.assert_array_equal(together.predicted[0, 0], [1, 1, 2, 2, 2, 1])


def test_what_is_not_alike_has_no_worst():
  result = attack([LEFT, RIGHT])
  with pytest.raises(UserError, match="same copies and images"):
    worst([result, attack([RIGHT, LEFT, LEFT])])
  with pytest.raises(UserError, match="of one size, not of linf 0.15 and linf 0.2"):
    worst([result, attack([LEFT, RIGHT], spec=AttackSpec("fgsm", 0.2))])
  with pytest.raises(UserError, match="give one at least"):
    worst([])


def test_a_model_of_another_architecture_attacks_too():
  other = FunctionalModel(
    "sum",
    (1, 2, 1),
    2,
    lambda key: (tf.zeros([]),),
    lambda w, x, key, training: tf.stack(
      [tf.zeros(tf.shape(x)[0]), tf.reduce_sum(x, axis=[1, 2, 3]) + w[0]], 1
    ),
  )
  surrogate = Surrogate(lambda client, key: [np.float32(0)], model=other)
  np.testing.assert_array_equal(attack([LEFT, RIGHT], surrogate).flip, np.ones([2, 2]))


def test_weights_of_another_shape_are_told_in_a_line():
  with pytest.raises(UserError, match=r"surrogate: weights of shapes \[\(3,\)\] are not those of"):
    attack([LEFT], Surrogate(lambda client, key: [np.zeros(3, np.float32)]))


def test_the_random_control_of_an_l2_attack_has_its_length():
  """Of 0.11 per pixel, which takes 0.6 below a half, but not 0.63."""
  images = np.repeat(np.float32([0.6, 0.63]), 2 * 12).reshape(24, 1, 2, 1)
  by_pixel, by_length = (
    transfer_matrix(MODEL, [LEFT], images, np.ones(24, np.int32), spec).random_noise_flip[0]
    for spec in (AttackSpec("fgsm", 0.11), AttackSpec("fgsm", 0.11 * np.sqrt(2), norm="l2"))
  )
  assert 0 < by_length == by_pixel < 0.5


def test_one_compiled_attack_serves_all_sizes_and_numbers_of_models():
  model = dataclasses.replace(MODEL)  # of which nothing is compiled yet
  evaluator = Evaluator(model, [LEFT, RIGHT, BOTH], IMAGES, LABELS, key=keys.root(0))
  for count in (2, 3):
    for eps in (0.1, 0.15):
      evaluator.attack(AttackSpec("pgd", eps, steps=2), Colluding(count, pool="ensemble"))
  assert sum(form[0] == "attack" for form in model._graphs) == 1
