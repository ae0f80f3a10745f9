"""Figure 1's images, on the one-pixel threshold model."""

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.examples import triptych
from fedsafe_tff.models.functional import FunctionalModel

# Class 1 where the pixel is above the weight.
MODEL = FunctionalModel(
  name="threshold",
  input_shape=(1, 1, 1),
  num_classes=2,
  init_fn=lambda key: (tf.zeros([]),),
  apply_fn=lambda w, x, key, training: tf.stack(
    [tf.zeros(tf.shape(x)[0]), 10.0 * (x[:, 0, 0, 0] - w[0])], 1
  ),
)
IMAGES = np.array([51, 204, 153, 102], np.uint8).reshape(-1, 1, 1, 1)  # 0.2 0.8 0.6 0.4
LABELS = np.array([0, 1, 1, 1], np.int32)  # the last is misclassified


def made(count):
  spec = AttackSpec("fgsm", 0.15)
  return triptych(MODEL, (tf.constant(0.5),), IMAGES, LABELS, spec, keys.root(0), count)


def test_correct_and_fooled_images_come_first():
  first = made(1)
  np.testing.assert_allclose(first["original"].ravel(), [0.6], atol=1e-6)
  np.testing.assert_allclose(first["adversarial"].ravel(), [0.45], atol=1e-6)
  np.testing.assert_allclose(first["perturbation"].ravel(), [-0.15], atol=1e-6)
  assert first["label"] == 1 and first["predicted_before"] == 1 and first["predicted_after"] == 0
  np.testing.assert_allclose(first["probability_before"], 1 / (1 + np.exp(-1.0)), atol=1e-5)
  np.testing.assert_allclose(first["probability_after"], 1 / (1 + np.exp(-0.5)), atol=1e-5)


def test_the_rest_follows_and_no_more_than_there_are():
  every = made(9)
  np.testing.assert_allclose(every["original"].ravel(), [0.6, 0.2, 0.8, 0.4], atol=1e-6)
  np.testing.assert_array_equal(every["predicted_before"], [1, 0, 1, 0])
  assert all(len(array) == 4 for array in every.values())
