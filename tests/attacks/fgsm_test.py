import numpy as np
import tensorflow as tf

from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.gradient import input_gradient
from tests.attacks import linear

X = np.random.default_rng(0).uniform(0.2, 0.8, (16, 2, 2, 1)).astype(np.float32)
Y = np.arange(16) % 2


def test_gradient_is_that_of_the_summed_loss():
  made = input_gradient(linear.logits_fn, tf.constant(X), tf.constant(Y, tf.int32))
  np.testing.assert_allclose(made, linear.gradient(X, Y), atol=1e-6)


def test_no_gradient_of_the_weights_is_computed():
  weight = tf.Variable(linear.MATRIX)

  @tf.function
  def gradient(x, y):
    return input_gradient(lambda inputs: tf.reshape(inputs, [-1, 4]) @ weight, x, y)

  graph = gradient.get_concrete_function(tf.constant(X), tf.constant(Y, tf.int32)).graph
  library = graph.as_graph_def().library.function
  products = [node for function in library for node in function.node_def if node.op == "MatMul"]
  assert len(products) == 2  # forward, and back to the image


def test_fgsm_is_equation_6():
  made = fgsm(linear.logits_fn, tf.constant(X), tf.constant(Y, tf.int32), eps=0.1).numpy()
  expected = np.clip(X + np.float32(0.1) * np.sign(linear.gradient(X, Y)), 0, 1)
  np.testing.assert_allclose(made, expected, atol=1e-7)
  assert (made[:, 1, 0] == X[:, 1, 0]).all()  # the pixel without weight: sign(0) = 0


def test_fgsm_stays_in_the_pixel_range():
  x = np.where(X > 0.5, 1.0, 0.0).astype(np.float32)
  made = fgsm(linear.logits_fn, tf.constant(x), tf.constant(Y, tf.int32), eps=0.3).numpy()
  assert made.min() >= 0 and made.max() <= 1
