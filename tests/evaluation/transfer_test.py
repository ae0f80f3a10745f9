import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.spec import AttackSpec
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


def test_self_and_avg_are_never_mixed():
  matrix = np.array([[1.0, 0.0], [0.0, 1.0]])
  assert self_mean(matrix) == 1.0 and other_mean(matrix) == 0.0
  assert other_mean(np.array([[0.3]])) is None


def test_zero_gradients_are_counted():
  dead = FunctionalModel(
    "dead", (1, 1, 1), 2, MODEL.init_fn,
    lambda w, x, key, training: tf.nn.relu(MODEL.apply_fn(w, x, key, training)) * 1.0,
  )
  copies = [(tf.constant(0.5),)]
  result = Evaluator(dead, copies, IMAGES, LABELS, key=keys.root(0)).attack(AttackSpec("fgsm", 0.1))
  assert isinstance(result, AttackResult)
  assert result.zero_gradient[0] == 0.5
