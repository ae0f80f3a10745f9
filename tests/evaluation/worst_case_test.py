import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.accuracy import to_float
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.evaluation.worst_case import WorstCase
from fedsafe_tff.models.cnn import build_cnn

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
LABELS = RNG.integers(0, 3, 30).astype(np.int32)
MODEL = build_cnn(
  input_shape=(8, 8, 1),
  num_classes=3,
  conv_widths=(4,) * 6,
  dense_widths=(8,) * 4,
  calibration=IMAGES,
)
COPIES = [MODEL.init(keys.root(seed)) for seed in (1, 2)]
KEY = keys.root(5)
EPS = 0.02


def predict(copy, images):
  return MODEL.apply(copy, images).numpy().argmax(1)


def in_full(copy, specs):
  """Every attack for each number of steps up to its own, on all images: the same, the slow way."""
  x, y = to_float(IMAGES), tf.constant(LABELS)
  clean = predict(copy, x)
  flipped = np.zeros(len(LABELS), bool)
  for spec in specs:
    last = 1 if spec.name == "fgsm" else spec.steps
    for steps in range(1, last + 1):
      part = AttackSpec(
        spec.name, spec.eps, steps=steps, step_size=spec.effective_step_size, labels=spec.labels
      )
      made = craft(lambda v: MODEL.apply(copy, v), x, y, part, KEY)
      flipped |= predict(copy, made) != clean
  return flipped


def worst_case(batch_size=7):
  return WorstCase(MODEL, COPIES, IMAGES, LABELS, key=KEY, batch_size=batch_size)


@pytest.mark.parametrize(
  "specs",
  [
    [AttackSpec("fgsm", EPS)],
    [AttackSpec("pgd", EPS, steps=5)],
    [AttackSpec("pgd", EPS, steps=5, labels="predicted")],
    [AttackSpec("fgsm", EPS), AttackSpec("pgd", EPS, steps=4, step_size=EPS)],
  ],
)
def test_the_same_images_fall_as_under_the_full_attacks(specs):
  measured = worst_case()
  for client, copy in enumerate(COPIES):
    expected = in_full(copy, specs)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(measured.flipped(client, specs), expected)


def test_fooled_images_cost_nothing_more():
  spec = AttackSpec("pgd", 0.1, steps=10)
  measured = worst_case()
  fooled = measured.flipped(0, [spec])
  assert fooled.mean() > 0.5
  assert measured.gradients < 0.7 * spec.steps * len(LABELS)
  before = measured.gradients
  measured.flipped(0, [AttackSpec("pgd", 1e-7, steps=10)])
  assert measured.gradients - before == 10 * len(LABELS)


def test_an_entry_averages_over_clients_and_is_no_less_than_each_attack():
  specs = [AttackSpec("fgsm", EPS), AttackSpec("pgd", EPS, steps=5)]
  measured = worst_case()
  entry = measured.attack(specs)
  flips = [measured.flipped(client, specs) for client in (0, 1)]
  correct = [predict(copy, to_float(IMAGES)) == LABELS for copy in COPIES]
  assert entry["asr_self"] == pytest.approx(np.mean(flips)) and entry["eps"] == EPS
  each = [flip[right].mean() for flip, right in zip(flips, correct)]
  assert entry["asr_self_correct"] == pytest.approx(np.mean(each))
  evaluator = Evaluator(MODEL, COPIES, IMAGES, LABELS, key=KEY)
  for spec in specs:
    assert evaluator.attack(spec).summary()["asr_self"] <= entry["asr_self"]


def test_its_random_starts_are_draws_of_its_own(monkeypatch):
  """Not those of the transfer matrix, nor those of another of its attacks."""
  fold, drawn = keys.fold, []

  def told(key, *path):
    made = fold(key, *path)
    if key is KEY:
      drawn.append(tuple(made.numpy()))
    return made

  monkeypatch.setattr(keys, "fold", told)
  specs = [AttackSpec("pgd", EPS, steps=s, random_start=True, restarts=2) for s in (1, 2)]
  Evaluator(MODEL, COPIES, IMAGES, LABELS, key=KEY, batch_size=10).attack(specs[0])
  of_the_matrix = set(drawn)
  drawn.clear()
  worst_case().attack(specs)
  assert len(drawn) == len(set(drawn)) == 2 * 2 * 2
  assert of_the_matrix and not of_the_matrix & set(drawn)


def test_restarts_start_elsewhere_and_add_what_they_fool():
  def flipped(restarts):
    spec = AttackSpec("pgd", EPS, steps=2, random_start=True, restarts=restarts)
    return worst_case().flipped(0, [spec])

  one, many = flipped(1), flipped(6)
  assert (many | one == many).all() and many.sum() > one.sum()
  np.testing.assert_array_equal(flipped(6), many)
