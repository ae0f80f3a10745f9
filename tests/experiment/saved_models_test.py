"""Models on disk come back as they were, in the order of their tensors."""

import numpy as np
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.experiment import saved_models

WEIGHTS = [np.full([index % 3 + 1], index, np.float32) for index in range(120)]
COPIES = [[weight + client for weight in WEIGHTS] for client in range(2)]


def same(left, right):
  assert len(left) == len(right)
  for a, b in zip(left, right):
    np.testing.assert_array_equal(a, b)


def test_models_of_many_tensors_come_back_in_order(tmp_path):
  saved_models.save(tmp_path, WEIGHTS, COPIES)
  weights, copies = saved_models.load(tmp_path, 2)
  same(weights, WEIGHTS)
  for found, copy in zip(copies, COPIES, strict=True):
    same(found, copy)


def test_copies_that_equal_the_global_model_have_no_file(tmp_path):
  saved_models.save(tmp_path, WEIGHTS, [WEIGHTS, WEIGHTS])
  assert [path.name for path in tmp_path.iterdir()] == ["global.npz"]
  same(saved_models.load(tmp_path, 2)[1][1], WEIGHTS)


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / "global.npz").write_bytes(b"PK")
  with pytest.raises(UserError, match="global.npz can't be read"):
    saved_models.load(tmp_path, 2)
