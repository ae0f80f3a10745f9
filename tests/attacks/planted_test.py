import functools

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft, random_noise
from fedsafe_tff.attacks.spec import AttackSpec
from tests.attacks import planted

COUNT = 20
KEY = keys.root(0)
START = {"random_start": True, "restarts": 2, "keep": "worst"}
STRONG = {
  "pgd": AttackSpec("pgd", planted.EPS, steps=60, step_size=planted.EPS / 8, **START),
  "pgd margin": AttackSpec(
    "pgd", planted.EPS, steps=60, step_size=planted.EPS / 8, loss="margin", **START
  ),
  "mi": AttackSpec("mi_fgsm", planted.EPS, steps=60, step_size=planted.EPS / 8, **START),
  "apgd": AttackSpec("apgd", planted.EPS, steps=60, random_start=True, restarts=2),
  "square": AttackSpec("square", planted.EPS, steps=1000),
}


@functools.cache
def models():
  """Images [n, 8, 8, 1], readouts [n, 48], biases [n] and examples [n, 8, 8, 1]."""
  made = [planted.plant(seed) for seed in range(COUNT)]
  parts = zip(*((m.image, m.weights, m.bias, m.example) for m in made))
  return tuple(tf.constant(np.stack(part)) for part in parts)


def broken(attack, at_a_time=COUNT):
  """Share of planted models for which the attack finds an example."""
  hits = []
  for start in range(0, COUNT, at_a_time):
    x, weights, bias, _ = (part[start : start + at_a_time] for part in models())
    made = attack(x, weights, bias, keys.fold(KEY, start))
    assert np.abs(made - x).max() <= planted.EPS + 1e-6
    hits.append(planted.logits(made, weights, bias)[:, 1].numpy() > 0)
  return np.concatenate(hits).mean()


def test_the_planted_examples_are_there_and_the_images_are_not():
  images, weights, bias, examples = models()
  assert (planted.logits(images, weights, bias)[:, 1].numpy() < 0).all()
  assert (planted.logits(examples, weights, bias)[:, 1].numpy() > 0).all()
  assert np.abs(examples - images).max() <= planted.EPS + 1e-6


@pytest.mark.parametrize("name", STRONG)
def test_strong_attacks_break_them(name):
  """The paper asks for 95 %."""

  @tf.function
  def attack(x, weights, bias, key):
    y = tf.zeros(tf.shape(x)[:1], tf.int32)
    return craft(lambda x: planted.logits(x, weights, bias), x, y, STRONG[name], key)

  # Square asks about the images that are left, but each image has a readout of its own.
  assert broken(attack, 1 if name == "square" else COUNT) >= 0.95


def test_chance_does_not():
  """Were random noise enough, nothing would have been shown."""
  assert broken(lambda x, weights, bias, key: random_noise(x, key, eps=planted.EPS)) <= 0.2
