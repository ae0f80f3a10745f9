import types

import numpy as np
import pytest

from fedsafe_tff.data.splits import Parts
from fedsafe_tff.runs import evaluate
from fedsafe_tff.runs.config import Config


@pytest.mark.parametrize(
  "defense, expected",
  [
    ("none", {"copied_images": 2, "other_images": 4, "other_accuracy": 0.5}),
    ("distributed_noise", {"copied_images": 4, "other_images": 2, "other_accuracy": 0.5}),
  ],
)
def test_the_leak_is_measured_to_all_that_the_model_learnt_from(defense, expected):
  labels = np.array([0, 1] * 6)
  images = np.arange(12)[:, None]
  parts = Parts(
    train=np.array([0, 1]),
    adaptation=np.array([2, 3]),
    evaluation=np.array([6, 7, 8, 9, 10, 11]),
    validation=np.array([4, 5]),
  )
  prepared = types.SimpleNamespace(
    image_set=types.SimpleNamespace(labels=labels, groups=np.arange(12) % 6),
    parts=parts,
    images=lambda part: (images[getattr(parts, part)], labels[getattr(parts, part)]),
  )
  # A model that knows what the clients had, and calls all else class 0.
  scorer = types.SimpleNamespace(predict=lambda weights, x: (x[:, 0] == 7).astype(int))
  copied = {"copied_accuracy": 1.0 if defense == "none" else 0.75}
  assert evaluate.leak(Config(defense=defense), scorer, prepared, []) == expected | copied
