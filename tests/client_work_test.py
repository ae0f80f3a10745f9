import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import client_work, keys
from tests import small

IMAGES, LABELS = small.images(20, 0)
MODEL = small.model(dropout=0.0)
WEIGHTS = MODEL.init(keys.root(1))
COLUMN = {name: i for i, name in enumerate(client_work.METRICS)}


def update(lr=0.1, key=2, weights=WEIGHTS, noise_key=None, **settings):
  work = client_work.ClientWork(**({"batch_size": 8} | settings))
  return client_work.local_update(
    MODEL, weights, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(key), work,
    learning_rate=lr, noise_key=noise_key,
  )


def test_training_is_sgd_on_cross_entropy():
  """Equation 1 by a plain loop: two epochs, unshuffled batches of 8, 8 and 4."""
  weights = list(WEIGHTS)
  velocity = [np.zeros(w.shape, np.float32) for w in weights]
  for _ in range(2):
    for start in (0, 8, 16):
      x = tf.constant(IMAGES[start : start + 8] / np.float32(255))
      y = tf.constant(LABELS[start : start + 8], tf.int32)
      with tf.GradientTape() as tape:
        tape.watch(weights)
        p = tf.nn.log_softmax(MODEL.apply(weights, x))
        loss = -tf.reduce_mean(tf.gather(p, y, batch_dims=1))
      gradients = tape.gradient(loss, weights)
      velocity = [0.5 * v + g for v, g in zip(velocity, gradients)]
      weights = [w - 0.1 * v for w, v in zip(weights, velocity)]
  made, _ = update(epochs=2, momentum=0.5, shuffle=False)
  for left, right in zip(made, weights):
    np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("attack_steps", [0, 1])
def test_training_by_hand(attack_steps):
  """Equations 1 and, on FGSM examples, 5 in numpy, with labels of -1 and +1 as in the paper."""
  model = small.linear()
  start = model.init(keys.root(1))
  by_hand = small.LinearByHand(start)
  for _ in range(3):
    for begin in (0, 8, 16):
      x, y = IMAGES[begin : begin + 8] / 255.0, LABELS[begin : begin + 8]
      if attack_steps:
        x = by_hand.fgsm(x, y, 0.1)
      by_hand.step(x, y, 0.02)
  work = client_work.ClientWork(batch_size=8, epochs=3, shuffle=False, attack_steps=attack_steps)
  made, _ = client_work.local_update(
    model, start, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(2), work,
    learning_rate=0.02, attack_eps=0.1,
  )
  assert np.abs(made[0] - start[0]).max() > 0.01
  np.testing.assert_allclose(made[0], by_hand.matrix, atol=1e-5)
  np.testing.assert_allclose(made[1], by_hand.bias, atol=1e-5)


def test_no_noise_and_no_clip_is_plain_training_and_loss_falls():
  first = update(epochs=1)[1][COLUMN["loss"]]
  last = update(epochs=30)[1][COLUMN["loss"]]
  assert last < 0.5 * first


def test_clipping_is_exact_and_reported():
  made, metrics = update(clip_norm=0.5)
  norm = np.sqrt(sum((w.numpy() ** 2).sum() for w in made))
  assert np.isclose(norm, 0.5, atol=1e-5) and metrics[COLUMN["clipped"]] == 1
  plain, free = update()
  assert np.isclose(free[COLUMN["norm"]], tf.linalg.global_norm(plain)) and free[4] == 0
  kept, metrics = update(clip_norm=1e6)
  assert metrics[COLUMN["clipped"]] == 0
  for left, right in zip(kept, plain):
    np.testing.assert_array_equal(left, right)


def test_update_is_the_difference_to_the_received_copy():
  weights, updates = update()[0], update(upload="update")[0]
  for new, old, delta in zip(weights, WEIGHTS, updates):
    np.testing.assert_allclose(delta, new - old, atol=1e-6)


def test_uplink_noise_has_the_moments_and_is_keyed():
  plain = update()[0]

  def noise(key):
    made, metrics = update(uplink_sigma=0.3, noise_key=keys.root(key))
    values = np.concatenate([(a - b).numpy().ravel() for a, b in zip(made, plain)])
    signal = np.sqrt(sum((w.numpy() ** 2).sum() for w in plain))
    assert np.isclose(metrics[COLUMN["noise_to_signal"]], np.linalg.norm(values) / signal, 1e-3)
    return values

  first, again, other = noise(2), noise(2), noise(3)
  np.testing.assert_array_equal(first, again)
  size = len(first)
  assert size == sum(w.numpy().size for w in plain)
  assert abs(first.mean()) < 4 * 0.3 / np.sqrt(size)
  assert abs(first.std() / 0.3 - 1) < 4 / np.sqrt(2 * size)
  assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(size)
  with pytest.raises(ValueError, match="needs a key"):
    update(uplink_sigma=0.3)


def test_same_key_same_bits():
  settings = {"augment": ("flip", "rotate"), "epochs": 2}
  for left, right in zip(update(**settings)[0], update(**settings)[0]):
    np.testing.assert_array_equal(left, right)
  assert any((a.numpy() != b.numpy()).any() for a, b in zip(update()[0], update(key=5)[0]))


def test_local_adversarial_training_lowers_the_adversarial_loss():
  """Eq. 5, by an attack of the size that was trained on."""
  from fedsafe_tff.attacks.fgsm import fgsm

  def adversarial_loss(weights):
    x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
    made = fgsm(lambda i: MODEL.apply(weights, i), x, y, eps=0.2)
    return float(tf.reduce_mean(client_work.cross_entropy(MODEL.apply(weights, made), y)))

  def train(steps):
    work = client_work.ClientWork(epochs=40, batch_size=8, attack_steps=steps)
    return client_work.local_update(
      MODEL, WEIGHTS, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(0), work,
      learning_rate=0.1, attack_eps=0.2,
    )[0]

  assert adversarial_loss(train(3)) < adversarial_loss(train(0))


def test_local_adversarial_training_attacks_the_weights_that_it_trains():
  """Eq. 5 by hand: one batch, two epochs, PGD of five steps of 2.5 eps / 5 in each."""
  from fedsafe_tff.attacks.pgd import random_point

  x, y = tf.constant(IMAGES / np.float32(255)), tf.constant(LABELS, tf.int32)
  work = client_work.ClientWork(epochs=2, batch_size=20, attack_steps=5, shuffle=False)
  made = client_work.local_update(
    MODEL, WEIGHTS, tf.constant(IMAGES), tf.constant(LABELS, tf.int32), keys.root(3), work,
    learning_rate=0.1, attack_eps=0.2,
  )[0]
  weights = list(WEIGHTS)
  for step in range(2):
    attacked = random_point(x, 0.2, keys.fold(keys.root(3), keys.ATTACK, step))
    for _ in range(5):
      with tf.GradientTape() as tape:
        tape.watch(attacked)
        loss = tf.reduce_sum(client_work.cross_entropy(MODEL.apply(weights, attacked), y))
      attacked += 0.1 * tf.sign(tape.gradient(loss, attacked))
      attacked = tf.clip_by_value(x + tf.clip_by_value(attacked - x, -0.2, 0.2), 0.0, 1.0)
    with tf.GradientTape() as tape:
      tape.watch(weights)
      loss = tf.reduce_mean(client_work.cross_entropy(MODEL.apply(weights, attacked), y))
    weights = [w - 0.1 * g for w, g in zip(weights, tape.gradient(loss, weights))]
  for left, right in zip(made, weights):
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_a_gradient_is_scaled_down_to_its_norm():
  weights, gradients = [tf.constant([1.0, 1.0])], [tf.constant([3.0, 4.0])]
  step = client_work.sgd_step(weights, [tf.zeros(2)], gradients, learning_rate=1.0)[0][0]
  np.testing.assert_allclose(step, [-2.0, -3.0])
  clipped = client_work.sgd_step(
    weights, [tf.zeros(2)], gradients, learning_rate=1.0, gradient_clip=1.0
  )[0][0]
  np.testing.assert_allclose(clipped, [0.4, 0.2], rtol=1e-6)
