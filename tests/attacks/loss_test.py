import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.attacks.loss import LOSSES, dlr, margin, targeted_dlr

LOGITS = np.random.default_rng(0).normal(0, 2, (20, 4)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 4, 20).astype(np.int32)


def values(loss, logits, labels=LABELS):
  return loss(tf.constant(logits, tf.float32), tf.constant(labels)).numpy()


def gradient(loss, logits, labels):
  logits = tf.constant(logits, tf.float32)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    total = tf.reduce_sum(loss(logits, tf.constant(labels)))
  return tape.gradient(total, logits).numpy()


def test_margin_is_the_best_other_less_the_label():
  expected = [np.delete(row, y).max() - row[y] for row, y in zip(LOGITS, LABELS)]
  np.testing.assert_allclose(values(margin, LOGITS), expected, rtol=1e-6)
  np.testing.assert_array_equal(values(margin, LOGITS) > 0, LOGITS.argmax(1) != LABELS)


def test_margin_has_a_gradient_where_cross_entropy_is_flat():
  sure = np.array([[1e4, 0.0, -1e4]])
  np.testing.assert_array_equal(gradient(margin, sure, [0]), [[-1, 1, 0]])
  assert not gradient(LOSSES["cross_entropy"], sure, [0]).any()


def test_dlr_is_equation_6():
  ordered = -np.sort(-LOGITS, axis=1)
  expected = values(margin, LOGITS) / (ordered[:, 0] - ordered[:, 2])
  np.testing.assert_allclose(values(dlr, LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.0), (1e4, 0.0), (1.0, 5.0)])
def test_dlr_changes_with_neither_scale_nor_shift(scale, shift):
  moved = values(dlr, scale * LOGITS + shift)
  np.testing.assert_allclose(moved, values(dlr, LOGITS), rtol=1e-3, atol=1e-4)


def test_dlr_towards_a_target_is_equation_7_and_never_flat():
  ordered = -np.sort(-LOGITS, axis=1)
  targets = LOGITS.argsort(1)[:, 1].astype(np.int32)  # ranks third, where dlr itself is flat
  expected = values(margin, LOGITS, targets) / (ordered[:, 0] - ordered[:, 2:].mean(1))
  np.testing.assert_allclose(values(targeted_dlr, LOGITS, targets), expected, rtol=1e-5)
  assert abs(gradient(dlr, LOGITS, targets)).max() < 1e-5
  assert (abs(gradient(targeted_dlr, LOGITS, targets)).max(1) > 1e-3).all()
  three = LOGITS[:, :3]
  np.testing.assert_array_equal(
    values(targeted_dlr, three, LABELS % 3), values(margin, three, LABELS % 3)
  )


def test_dlr_of_two_classes_points_where_it_did_whatever_the_scale():
  logits, labels = LOGITS[:, :2], LABELS % 2
  np.testing.assert_array_equal(values(dlr, logits, labels), values(margin, logits, labels))
  slopes = [gradient(dlr, scale * logits, labels) for scale in (1.0, 1e4)]
  np.testing.assert_array_equal(slopes[0], slopes[1])
  assert (np.abs(slopes[0]) == 1).all()


def test_dlr_needs_to_know_the_number_of_classes():
  @tf.function(input_signature=[tf.TensorSpec([None, None])])
  def blind(logits):
    return dlr(logits, tf.zeros([tf.shape(logits)[0]], tf.int32))

  with pytest.raises(ValueError, match="known number of classes"):
    blind(tf.constant(LOGITS))
