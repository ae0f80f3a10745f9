"""Eq. 6, 7 and 11 against NumPy: the attacks, and the whole transfer matrix of many copies."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.fgsm import fgsm
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.transfer import Evaluator
from tests.oracle import equations, twin

SHAPE, CLASSES, CLIENTS = (5, 4, 2), 3, 3
WEIGHTS = [twin.weights(seed, SHAPE, CLASSES) for seed in range(CLIENTS)]
# Copies of one model, as after noise on the downlink, so that attacks do transfer.
COPIES = [[w + 0.3 * (v - w) for w, v in zip(WEIGHTS[0], other)] for other in WEIGHTS]
NETWORKS = [equations.Network(copy) for copy in COPIES]
MODEL = twin.model(SHAPE, CLASSES, COPIES[0])
RNG = np.random.default_rng(11)
IMAGES = RNG.integers(0, 256, (60, *SHAPE)).astype(np.uint8)
X = IMAGES / 255.0
# Right for most images under every copy, so that both readings of the rate have something to say.
LABELS = np.where(RNG.random(60) < 0.8, NETWORKS[0].predict(X), RNG.integers(0, CLASSES, 60))
LABELS = LABELS.astype(np.int32)
ATTACKS = [
  ("fgsm", 0.05, None, 1),
  ("fgsm", 0.4, None, 1),
  ("pgd", 0.05, 0.0125, 4),
  ("pgd", 0.1, 0.07, 6),  # steps go past the border of the ball
  ("pgd", 0.6, 0.09, 5),  # and of the range of pixels
]


def logits_fn(x):
  return MODEL.apply(COPIES[0], x)


def by_hand(network, name, eps, step, steps):
  if name == "fgsm":
    return equations.fgsm(network, X, LABELS, eps)
  return equations.pgd(network, X, LABELS, eps, step, steps)


def test_the_gradients_of_the_oracle_are_differences_of_its_losses():
  network, x, y = NETWORKS[0], X[:3], LABELS[:3]
  gradient = network.input_gradient(x, y)
  for place in [(0, 0, 0), (2, 3, 1), (4, 1, 0)]:
    moved = np.zeros_like(x)
    moved[(slice(None), *place)] = 1e-6
    slope = (network.losses(x + moved, y) - network.losses(x - moved, y)) / 2e-6
    np.testing.assert_allclose(gradient[(slice(None), *place)], slope, rtol=1e-5, atol=1e-9)
  for index, weight in enumerate(network.weights):
    moved = [np.zeros_like(w) for w in network.weights]
    moved[index].flat[1] = 1e-6
    above, below = (
      equations.Network([w + s * m for w, m in zip(network.weights, moved)]).losses(x, y).mean()
      for s in (1, -1)
    )
    found = network.weight_gradient(x, y)[index]
    assert found.shape == weight.shape
    assert found.flat[1] == pytest.approx((above - below) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("name, eps, step, steps", ATTACKS)
def test_attacks_are_equations_6_and_7(name, eps, step, steps):
  y = tf.constant(LABELS)
  x = tf.constant(X, tf.float32)
  if name == "fgsm":
    made = fgsm(logits_fn, x, y, eps=eps)
  else:
    made = pgd(logits_fn, x, y, eps=eps, step_size=step, steps=steps)
  expected = by_hand(NETWORKS[0], name, eps, step, steps)
  assert np.abs(expected - X).max() == pytest.approx(min(eps, steps * step) if step else eps)
  np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("name, eps, step, steps", ATTACKS)
def test_the_transfer_matrix_is_equation_11(name, eps, step, steps):
  evaluator = Evaluator(MODEL, COPIES, IMAGES, LABELS, key=keys.root(0), batch_size=16)
  spec = AttackSpec(name, eps, steps=steps, step_size=step or 0.0)
  result = evaluator.attack(spec)
  flip, correct, accuracy = (np.zeros((CLIENTS, CLIENTS)) for _ in range(3))
  for adversary, attacked_network in enumerate(NETWORKS):
    attacked = by_hand(attacked_network, name, eps, step, steps)
    for victim, network in enumerate(NETWORKS):
      flip[adversary, victim] = equations.success_rate(network, X, attacked)
      right = network.predict(X) == LABELS
      correct[adversary, victim] = equations.success_rate(network, X[right], attacked[right])
      accuracy[adversary, victim] = (network.predict(attacked) == LABELS).mean()
  for found, expected in (
    (result.flip, flip), (result.flip_correct, correct), (result.accuracy, accuracy),
  ):  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-12)
  clean = [(network.predict(X) == LABELS).mean() for network in NETWORKS]
  np.testing.assert_allclose(result.clean_accuracy, clean)
  summary = result.summary()
  others = [flip[a, v] for a in range(CLIENTS) for v in range(CLIENTS) if a != v]
  own = [flip[a, a] for a in range(CLIENTS)]
  assert summary["asr_self"] == pytest.approx(sum(own) / len(own))
  assert summary["asr_avg"] == pytest.approx(sum(others) / len(others))
  others = [correct[a, v] for a in range(CLIENTS) for v in range(CLIENTS) if a != v]
  assert summary["asr_avg_correct"] == pytest.approx(sum(others) / len(others))
  assert 0 < summary["asr_avg"] < 1 and summary["asr_self"] != summary["asr_avg"]
