import numpy as np

from fedsafe_tff.evaluation.leak import accuracy_by_copy

LABELS = np.array([0, 1, 0, 0, 0, 1, 1, 0, 1, 1])
GROUPS = np.array([7, 8, 9, 7, 7, 8, 3, 4, 5, 5])
TRAIN, EVALUATION = np.arange(3), np.arange(3, 10)


def test_copies_are_told_from_others_and_classes_weigh_the_same():
  predicted = np.array([0, 1, 1, 0, 0, 1, 1])
  # Copied: 0, 0, 1 of groups 7, 7, 8, answered 0, 1, 1. Others: 1, 0, 1, 1, answered 0, 0, 1, 1.
  assert accuracy_by_copy(LABELS, predicted, GROUPS, TRAIN, EVALUATION) == {
    "copied_images": 3,
    "copied_accuracy": 0.75,
    "other_images": 4,
    "other_accuracy": np.mean([1.0, 2 / 3]),
  }


def test_nothing_is_told_where_no_image_has_a_copy_or_a_class_is_lacking():
  predicted = np.zeros(7, int)
  assert accuracy_by_copy(LABELS, predicted, np.arange(10), TRAIN, EVALUATION) == {}
  groups = np.where(GROUPS == 8, 6, GROUPS)
  groups[1] = 10  # the training image of class 1 has no copy: all that are copied are of class 0
  assert accuracy_by_copy(LABELS, predicted, groups, TRAIN, EVALUATION) == {}
