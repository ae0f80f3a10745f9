import functools

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks import apgd as apgd_lib
from fedsafe_tff.attacks.apgd import checkpoints
from fedsafe_tff.attacks.objective import Objective
from fedsafe_tff.attacks.pgd import pgd

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (8, 3, 3, 1)).astype(np.float32)
Y = RNG.integers(0, 3, 8).astype(np.int32)
IN, OUT = RNG.normal(0, 2, (9, 8)), RNG.normal(0, 1, (8, 3))


def logits_fn(x):
  hidden = tf.sin(tf.reshape(x, [-1, 9]) @ tf.constant(IN, x.dtype))
  return hidden @ tf.constant(OUT, x.dtype)


def apgd(models, x, y, key=None, **settings):
  """Compiled: eager loops are slow."""
  compiled = tf.function(lambda x, y: apgd_lib.apgd(models, x, y, key=key, **settings))
  return compiled(tf.constant(x), tf.constant(y))


@functools.cache
def compiled_slope(loss):
  return tf.function(
    lambda x, y: Objective(logits_fn, y, loss).slope(x),
    input_signature=[tf.TensorSpec([1, 3, 3, 1], tf.float64), tf.TensorSpec([1], tf.int32)],
  )


def slope(x, y, loss):
  found = compiled_slope(loss)(tf.constant(x[np.newaxis], tf.float64), tf.constant([y]))
  return float(found.loss[0]), float(found.margin[0]), found.gradient.numpy()[0]


def by_the_paper(image, label, eps, steps, norm, loss):
  """Algorithm 1 for one image, float64, with its names."""

  def project(z):
    change = z - image
    if norm == "linf":
      change = change.clip(-eps, eps)
    else:
      change = change * min(1.0, eps / max(np.linalg.norm(change), 1e-12))
    return (image + change).clip(0, 1)

  def direction(g):
    return np.sign(g) if norm == "linf" else g / np.linalg.norm(g)

  shares = [0.0, 0.22]
  while shares[-1] <= 1:
    shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
  w = [int(np.ceil(round(p * steps, 6))) for p in shares]

  image = image.astype(np.float64)
  x, eta, halvings = [image], 2 * eps, 0
  f, margins, gradients = [], [], []

  def evaluate(point):
    value = slope(point, label, loss)
    for kept, part in zip((f, margins, gradients), value):
      kept.append(part)

  evaluate(image)
  x.append(project(image + eta * direction(gradients[0])))
  evaluate(x[1])
  visited = list(x)
  at_mark = {0: (eta, f[0])}
  last_mark = 0
  origin, before = x[1], x[0]
  gradient = gradients[1]
  for k in range(1, steps):
    if k in w:
      best = int(np.argmax(f))
      rises = sum(f[i + 1] > f[i] for i in range(last_mark, k))
      eta_then, best_then = at_mark[last_mark]
      first = rises < 0.75 * (k - last_mark)
      second = last_mark > 0 and eta_then == eta and best_then == f[best]
      at_mark[k] = (eta, f[best])
      if first or second:
        eta, halvings = eta / 2, halvings + 1
        origin, gradient = visited[best], gradients[best]
      last_mark = k
    z = project(origin + eta * direction(gradient))
    new = project(origin + 0.75 * (z - origin) + 0.25 * (origin - before))
    before, origin = origin, new
    evaluate(new)
    visited.append(new)
    gradient = gradients[-1]
  order = [(margins[i] > 0, f[i]) for i in range(len(f))]
  return visited[max(range(len(f)), key=order.__getitem__)], halvings


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
def test_it_is_algorithm_1(norm, loss):
  eps = 0.15 if norm == "linf" else 0.3
  made = apgd(logits_fn, X, Y, eps=eps, steps=25, norm=norm, loss=loss).numpy()
  halved = 0
  for image, label, ours in zip(X, Y, made):
    theirs, halvings = by_the_paper(image, label, eps, 25, norm, loss)
    halved += halvings
    assert slope(ours, label, loss)[0] == pytest.approx(slope(theirs, label, loss)[0], abs=2e-3)
  assert halved > 8  # the rule was put to use


def test_the_second_condition_halves_alone():
  """Where the best has not moved since a mark at which no step was halved."""
  rng = np.random.default_rng(1)
  x = rng.uniform(0, 1, (300, 3, 3, 1)).astype(np.float32)
  y = rng.integers(0, 3, 300).astype(np.int32)
  rows = [6, 7, 10, 17, 70, 127]  # it decides about these
  made = apgd(logits_fn, x[rows], y[rows], eps=0.6, steps=20, norm="l2", loss="cross_entropy")
  for row, ours in zip(rows, made.numpy()):
    theirs, _ = by_the_paper(x[row], y[row], 0.6, 20, "l2", "cross_entropy")
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_checkpoints_are_the_papers():
  assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
  assert checkpoints(3) == [1, 2, 3]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_stays_in_ball_and_range(norm):
  made = apgd(
    logits_fn, X, Y, eps=0.2, steps=12, norm=norm, random_start=True, restarts=2, key=keys.root(0)
  )
  change = (made - X).numpy().reshape(8, -1)
  reach = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
  assert reach.max() <= 0.2 + 1e-5
  assert made.numpy().min() >= 0 and made.numpy().max() <= 1


def test_more_steps_and_starts_are_never_weaker():
  def loss(**more):
    made = apgd(logits_fn, X, Y, eps=0.1, **more)
    return Objective(logits_fn, tf.constant(Y), "cross_entropy").height(made).loss.numpy()

  assert loss(steps=20).mean() >= loss(steps=4).mean()
  start = {"steps": 4, "random_start": True}
  many = loss(key=keys.root(0), restarts=3, **start)
  single = [loss(key=keys.fold(keys.root(0), index), **start) for index in range(3)]
  assert many.mean() >= np.mean(single) - 1e-6


def test_it_needs_no_step_size_to_be_as_good_as_the_best_of_pgd():
  objective = Objective(logits_fn, tf.constant(Y))
  fixed = [
    objective.height(pgd(logits_fn, X, Y, eps=0.15, step_size=size, steps=30, keep="worst")).loss
    for size in (0.15, 0.05, 0.01)
  ]
  adaptive = objective.height(apgd(logits_fn, X, Y, eps=0.15, steps=30)).loss
  assert adaptive.numpy().mean() >= max(loss.numpy().mean() for loss in fixed) - 0.02


def test_targets_are_reached():
  target = (np.asarray(tf.argmax(logits_fn(tf.constant(X)), 1)) + 1).astype(np.int32) % 3
  made = apgd(logits_fn, X, target, eps=0.5, steps=20, targeted=True)
  reached = np.asarray(tf.argmax(logits_fn(made), 1)) == target
  assert reached.mean() > 0.9
