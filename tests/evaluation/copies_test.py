import tensorflow as tf

from fedsafe_tff.evaluation.copies import first_equal


def test_equal_to_the_last_bit_and_in_shape():
  weights = [tf.constant([0.0, 1.0]), tf.constant([[0.0], [1.0]]), tf.constant([-0.0, 1.0])]
  copies = [(weights[0],), (weights[1],), (tf.identity(weights[0]),), (weights[2],)]
  assert first_equal(copies) == [0, 1, 0, 3]
