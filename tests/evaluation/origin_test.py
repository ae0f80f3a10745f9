import numpy as np
import pytest

from fedsafe_tff.evaluation.origin import by_origin, specialists


def test_errors_are_counted_by_class_and_origin():
  #                   train          evaluated
  labels = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1])
  big = np.array([0, 0, 1, 1, 0, 0, 1, 0, 0], bool)
  sizes = np.where(big[:, np.newaxis], 512, [[512, 300]])  # one side of 512 is not enough
  train, evaluation = np.arange(5), np.arange(5, 9)
  found = by_origin(labels, sizes, train, evaluation, predicted=np.array([1, 1, 1, 0]))
  told = {(c.label, c.is_512): (c.train, c.evaluation, c.model_wrong, c.rule_wrong) for c in found}
  # The rule learns: 512x512 is class 1, the others are class 0.
  assert told == {(0, False): (2, 1, 1, 0), (1, True): (2, 1, 0, 0), (1, False): (1, 2, 1, 2)}


@pytest.fixture
def bright():
  """Images whose class is their brightness, in groups of three."""
  rng = np.random.default_rng(0)
  labels = np.repeat(np.arange(40) % 4 == 0, 3).astype(int)
  images = rng.integers(0, 100, [120, 70, 70, 1]) + 100 * labels[:, None, None, None]
  return images.astype(np.uint8), labels, np.repeat(np.arange(40), 3)


def test_specialists_learn_what_can_be_learnt(bright):
  majority, *others = specialists(*bright)
  assert (majority.name, majority.accuracy, majority.recall) == ("majority class", 0.75, (1.0, 0.0))
  assert [s.accuracy for s in others] == [1.0, 1.0] and others[0].recall == (1.0, 1.0)


def test_specialists_do_not_learn_from_copies_on_the_other_side(bright):
  images, labels, groups = bright
  rng = np.random.default_rng(1)
  # Noise that is told apart by its copies alone, of which a group holds all.
  noise = np.repeat(rng.integers(0, 255, [40, 70, 70, 1]), 3, axis=0).astype(np.uint8)
  assert all(s.accuracy <= 0.8 for s in specialists(noise, labels, groups))
  assert max(s.accuracy for s in specialists(noise, labels, np.arange(120))) > 0.9
