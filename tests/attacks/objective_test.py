import numpy as np
import tensorflow as tf

from fedsafe_tff.attacks.objective import Height, Objective, Record


def heights(loss, margin):
  return Height(tf.constant(loss, tf.float32), tf.constant(margin, tf.float32))


# Lower; higher; the same but nearer; the same; higher but fools no more; lower but fools.
NEW = heights([1.0, 6.0, 0.0, 0.0, 9.0, 1.0], [-2.0, -2.0, -1.0, -2.0, -1.0, 1.0])
OLD = heights([5.0, 5.0, 0.0, 0.0, 5.0, 5.0], [-2.0, -2.0, -2.0, -2.0, 1.0, -1.0])


def test_of_two_points_the_higher_loss_wins_and_where_it_is_flat_the_margin():
  np.testing.assert_array_equal(NEW.above(OLD), [0, 1, 1, 0, 1, 0])


def test_what_fools_wins_over_what_does_not():
  np.testing.assert_array_equal(NEW.fools_more(OLD), [0, 1, 1, 0, 0, 1])


def test_a_record_takes_over_what_is_better_and_anything_at_first():
  ones = tf.ones([6, 1, 1, 1])
  first = Record.empty(0.0 * ones)
  assert OLD.above(first.height).numpy().all() and OLD.fools_more(first.height).numpy().all()
  before = first.updated(ones, OLD, OLD.above(first.height))
  np.testing.assert_array_equal(before.images, ones)
  after = before.updated(2.0 * ones, NEW, NEW.above(OLD))
  np.testing.assert_array_equal(tf.reshape(after.images, [-1]), [1, 2, 2, 1, 2, 1])
  np.testing.assert_array_equal(after.height.loss, [5, 6, 0, 0, 9, 5])
  np.testing.assert_array_equal(after.height.margin, [-2, -2, -1, -2, -1, -1])


def test_a_view_changes_what_the_models_are_shown_for_gradients_alone():
  def logits_fn(x):
    return tf.reshape(x, [-1, 2])

  x, y = tf.constant([[[[0.2], [0.5]]]]), tf.constant([0])
  objective = Objective(logits_fn, y, "margin", view=lambda x, key: 2.0 * x)
  assert abs(float(objective.height(x).margin[0]) - 0.3) < 1e-6
  slope = objective.slope(x)
  assert abs(float(slope.margin[0]) - 0.6) < 1e-6
  np.testing.assert_allclose(tf.reshape(slope.gradient, [-1]), [-2, 2])


def test_rows_are_objectives_of_some_images():
  def logits_fn(x):
    return tf.reshape(x, [-1, 2])

  x = tf.constant(np.random.default_rng(0).normal(0, 1, (5, 1, 2, 1)), tf.float32)
  whole = Objective(logits_fn, tf.constant([0, 1, 0, 1, 1]), targeted=True)
  some = whole.rows(tf.constant([3, 0])).height(tf.gather(x, [3, 0]))
  np.testing.assert_allclose(some.loss, tf.gather(whole.height(x).loss, [3, 0]))
