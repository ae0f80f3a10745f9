import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.momentum import di_fgsm, mi_fgsm, ni_fgsm, vmi_fgsm
from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.pgd import pgd

RNG = np.random.default_rng(0)
X = RNG.uniform(0.3, 0.7, (5, 4, 4, 1)).astype(np.float32)
MATRIX = RNG.normal(0, 1, (16, 16))
Y = np.zeros(5, np.int32)
KEY = keys.root(1)
EPS, STEP, STEPS = 0.2, 0.07, 4
METHODS = {"mi": mi_fgsm, "ni": ni_fgsm, "di": di_fgsm, "vmi": vmi_fgsm}


def logits_fn(x):
  """A margin that curves, so that its gradient differs from point to point."""
  flat = tf.reshape(x, [-1, 16])
  bent = tf.reduce_sum(tf.sin(4 * flat @ tf.constant(MATRIX, x.dtype)), axis=1)
  return tf.stack([tf.zeros_like(bent), bent], axis=1)


def slope(x):
  """The margin's gradient by the image, in numpy and float64."""
  flat = x.reshape(len(x), 16)
  return (4 * np.cos(4 * flat @ MATRIX) @ MATRIX.T).reshape(x.shape)


def size_1(gradient):
  return gradient / np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)


def compiled(method, **more):
  """A function of a key; eager loops are slow."""
  settings = {"eps": EPS, "step_size": STEP, "steps": STEPS, "loss": "margin"} | more

  @tf.function(input_signature=[keys.SPEC])
  def attack(key):
    return METHODS[method](logits_fn, tf.constant(X), tf.constant(Y), key=key, **settings)

  return lambda key: attack(key).numpy()


def run(method, **more):
  return compiled(method, **more)(KEY)


def by_hand(decay=1.0, look=0.0):
  x, momentum = X.astype(np.float64), np.zeros(X.shape)
  for _ in range(STEPS):
    momentum = decay * momentum + size_1(slope(x + look * momentum))
    x = X + np.clip(x + STEP * np.sign(momentum) - X, -EPS, EPS)
    x = x.clip(0, 1)
  return x


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_mi_is_what_it_says(decay):
  np.testing.assert_allclose(run("mi", decay=decay), by_hand(decay), atol=1e-5)
  assert (by_hand(decay) != by_hand(0.0)).any()


def test_without_momentum_it_is_pgd():
  plain = pgd(logits_fn, X, Y, eps=EPS, step_size=STEP, steps=STEPS, loss="margin")
  np.testing.assert_array_equal(run("mi", decay=0.0), plain)


def test_ni_looks_ahead():
  np.testing.assert_allclose(run("ni", decay=0.9), by_hand(0.9, 0.9 * STEP), atol=1e-5)
  assert (run("ni") != run("mi")).any()


def test_di_without_changes_is_mi_and_with_them_another():
  np.testing.assert_allclose(run("di", probability=0.0), run("mi"), atol=1e-6)
  assert (run("di", probability=1.0) != run("mi")).any()


def test_di_shows_the_image_smaller_with_zeros_around_it():
  shown = []

  def look(x):
    shown.append(x.numpy())
    return tf.reduce_sum(x, axis=[1, 2]) * [[1.0, -1.0]]

  ones, settings = tf.ones([40, 20, 20, 1]), {"eps": 0.0, "step_size": 0.0, "steps": 1, "key": KEY}
  di_fgsm(look, ones, np.zeros(40, np.int32), probability=0.5, smallest=0.5, **settings)
  (images,) = shown
  whole = (images == 1).all(axis=(1, 2, 3))
  assert 10 <= whole.sum() <= 30  # half of the images are left as they are
  share = images[~whole].mean(axis=(1, 2, 3))
  assert (share >= 0.2).all() and (share < 1.0).all()  # from a quarter, less a border, to all
  assert images.min() >= 0 and images.max() <= 1
  assert len({image.tobytes() for image in images[~whole]}) > 0.7 * (~whole).sum()


def test_vmi_adds_the_variance_of_the_last_step():
  """With neighbours that are the point itself there is none; else as many gradients as samples."""
  np.testing.assert_allclose(run("vmi", radius=0.0), run("mi"), atol=1e-6)
  calls = []

  def counted(x):
    calls.append(1)
    return logits_fn(x)

  vmi_fgsm(counted, X, Y, eps=EPS, step_size=STEP, steps=3, key=KEY, samples=5)
  assert len(calls) == 3 * (1 + 5)


def test_vmi_is_what_it_says():
  x, momentum, variance = X.astype(np.float64), np.zeros(X.shape), np.zeros(X.shape)
  for step in range(STEPS):
    gradient = slope(x)
    momentum = momentum + size_1(gradient + variance)
    around = [
      NORMS["linf"].random_change(X.shape, 1.2 * EPS, keys.fold(KEY, *number)).numpy()
      for number in ((keys.ATTACK_STEP, step, keys.INPUT_DRAW, index) for index in range(3))
    ]
    variance = np.mean([slope(x + change) for change in around], axis=0) - gradient
    x = (X + np.clip(x + STEP * np.sign(momentum) - X, -EPS, EPS)).clip(0, 1)
  made = run("vmi", samples=3, radius=1.2)
  np.testing.assert_allclose(made, x, atol=1e-5)
  assert (made != run("mi")).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_all_stay_in_ball_and_range_and_are_repeatable(method, norm):
  more = {"random_start": True, "restarts": 2, "keep": "worst", "steps": 3}
  more |= {"samples": 2} if method == "vmi" else {}
  attack = compiled(method, norm=norm, **more)
  made, again, other = (attack(keys.root(seed)) for seed in (1, 1, 2))
  np.testing.assert_array_equal(made, again)
  assert (made != other).any()
  change = (made - X).reshape(5, -1)
  reach = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
  assert reach.max() <= EPS + 1e-5 and reach.min() > 0.01
  assert made.min() >= 0 and made.max() <= 1
