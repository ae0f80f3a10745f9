import types

import numpy as np

from fedsafe_tff.data.splits import Parts
from fedsafe_tff.experiment import evaluate


def test_the_leak_is_measured_between_training_and_evaluation():
  labels = np.array([0, 1, 0, 1, 0, 1, 0, 1])
  images = np.arange(8)[:, None]
  parts = Parts(
    train=np.array([0, 1]),
    adaptation=np.array([2]),
    evaluation=np.array([4, 5, 6, 7]),
    validation=np.array([3]),
  )
  prepared = types.SimpleNamespace(
    image_set=types.SimpleNamespace(labels=labels, groups=np.array([0, 1, 2, 3, 0, 1, 2, 3])),
    parts=parts,
    images=lambda part: (images[getattr(parts, part)], labels[getattr(parts, part)]),
  )
  # A model that knows what it was trained on, and calls all else class 0.
  scorer = types.SimpleNamespace(predict=lambda weights, x: (x[:, 0] == 5).astype(int))
  assert evaluate.leak(scorer, prepared, []) == {
    "copied_images": 2,
    "copied_accuracy": 1.0,
    "other_images": 2,
    "other_accuracy": 0.5,
  }
