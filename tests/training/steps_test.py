import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel, cross_entropy
from fedsafe_tff.training.steps import clip_by_norm, sgd_step, training_gradient
from tests import small

IMAGES, LABELS = small.images(6, 0)


def test_a_gradient_is_scaled_down_to_its_norm():
  weights, gradients = [tf.constant([1.0, 1.0])], [tf.constant([3.0, 4.0])]
  (step,) = sgd_step(weights, gradients, learning_rate=1.0)
  np.testing.assert_allclose(step, [-2.0, -3.0])
  (clipped,) = sgd_step(weights, gradients, learning_rate=1.0, gradient_clip=1.0)
  np.testing.assert_allclose(clipped, [0.4, 0.2], rtol=1e-6)


def test_a_norm_below_the_limit_stays():
  tensors = (tf.constant([3.0]), tf.constant([4.0]))
  for limit in (0.0, 5.0, 6.0):
    kept, norm = clip_by_norm(tensors, limit)
    assert norm == 5.0 and [t.numpy().item() for t in kept] == [3.0, 4.0]


def test_the_models_own_loss_is_followed_whether_of_each_image_or_the_mean():
  x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
  linear = small.linear()

  def gradient(losses):
    model = FunctionalModel(
      "own", linear.input_shape, 2, linear.init_fn, linear.apply_fn, losses_fn=losses
    )
    weights = model.init(keys.root(1))
    return training_gradient(model, weights, x, y, keys.root(0))

  _, each, plain = gradient(None)
  _, twice, double = gradient(lambda z, labels: 2.0 * cross_entropy(z, labels))
  _, mean, same = gradient(lambda z, labels: tf.reduce_mean(cross_entropy(z, labels)))
  np.testing.assert_allclose(double[0], 2.0 * plain[0], rtol=1e-5)
  np.testing.assert_allclose(twice, 2.0 * each, rtol=1e-6)
  np.testing.assert_allclose(same[0], plain[0], rtol=1e-6)
  np.testing.assert_allclose(mean, np.full(6, each.numpy().mean()), rtol=1e-6)
