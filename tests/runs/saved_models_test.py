"""Models on disk come back as they were, in the order of their tensors."""

import numpy as np
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs import saved_models

FROZEN = tuple((f"layer/{index}", np.full([2], index, np.float32)) for index in range(12))


def model(frozen=FROZEN):
  """One that can be written; nothing here computes with it."""
  return FunctionalModel(
    "named", (1, 1, 1), 2, None, None,
    weight_names=tuple(f"tensor_{index}" for index in range(120)),
    frozen=frozen,
    with_frozen_fn=lambda values: model(tuple(zip((n for n, _ in frozen), values))),
  )  # fmt: skip


WEIGHTS = [np.full([index % 3 + 1], index, np.float32) for index in range(120)]
COPIES = [[weight + client for weight in WEIGHTS] for client in range(2)]


def same(left, right):
  assert len(left) == len(right)
  for a, b in zip(left, right):
    np.testing.assert_array_equal(a, b)


def test_models_of_many_tensors_come_back_in_order(tmp_path):
  saved_models.save(tmp_path, WEIGHTS, COPIES, model())
  weights, copies = saved_models.load(tmp_path, 2)
  same(weights, WEIGHTS)
  for found, copy in zip(copies, COPIES, strict=True):
    same(found, copy)


def test_copies_that_equal_the_global_model_have_no_file(tmp_path):
  saved_models.save(tmp_path, WEIGHTS, [WEIGHTS, WEIGHTS], model())
  assert [path.name for path in tmp_path.glob("[!.]*")] == ["global.npz"]
  same(saved_models.load(tmp_path, 2)[1][1], WEIGHTS)


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / "global.npz").write_bytes(b"PK")
  with pytest.raises(UserError, match="global.npz can't be read"):
    saved_models.load(tmp_path, 2)


def test_a_file_holds_names_and_what_is_frozen(tmp_path):
  saved_models.save(tmp_path, WEIGHTS, COPIES, model())
  for name, weights in (("global", WEIGHTS), ("client_00001", COPIES[1])):
    stored = saved_models.read(tmp_path / f"{name}.npz")
    same(stored.weights, weights)
    assert stored.names == model().weight_names
    same(stored.frozen, [value for _, value in FROZEN])
    assert stored.frozen_names == tuple(name for name, _ in FROZEN)


def test_files_of_older_versions_are_read(tmp_path):
  np.savez(tmp_path / "global.npz", **{f"{i:02d}": w for i, w in enumerate(WEIGHTS)})
  same(saved_models.load(tmp_path, 2)[0], WEIGHTS)
  stored = saved_models.read(tmp_path / "global.npz")
  assert stored.frozen is None and stored.names == ()


def test_what_was_frozen_first_stays(tmp_path):
  file = tmp_path / "frozen.npz"
  assert saved_models.keep_frozen(file, first := model()) is first
  other = model(tuple((name, value + 1) for name, value in FROZEN))
  kept = saved_models.keep_frozen(file, other)
  same([value for _, value in kept.frozen], [value for _, value in FROZEN])
  with pytest.raises(UserError, match="named freezes arrays of shapes .*: it is another model now"):
    saved_models.keep_frozen(file, model(FROZEN[:3]))
  nothing = model(())
  assert saved_models.keep_frozen(tmp_path / "none.npz", nothing) is nothing
  assert not (tmp_path / "none.npz").exists()
