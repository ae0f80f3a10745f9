"""Images in an .npz, as MedMNIST serves them and as users save them."""

import numpy as np
import pytest

from fedsafe_tff.data import npz
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.errors import UserError
from tests.data.pictures import picture


def medmnist(path, shape, kept=None, labels=2, **more):
  rng = np.random.default_rng(0)
  arrays = {}
  for part, count in (("train", 6), ("val", 3), ("test", 4)):
    arrays[f"{part}_images"] = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    arrays[f"{part}_labels"] = (np.arange(count) % labels)[:, None]
  np.savez(path, **(arrays | more))
  return arrays


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (64, 64)])
def test_medmnist(tmp_path, shape):
  arrays = medmnist(tmp_path / "m.npz", shape)
  data = npz.load(str(tmp_path / "m.npz"), image_size=0)
  assert len(data) == 13
  assert data.published_validation.sum() == 3 and data.published_test.sum() == 4
  expected = np.concatenate([arrays[f"{p}_images"] for p in ("train", "val", "test")])
  np.testing.assert_array_equal(np.squeeze(data.images), expected)


def test_medmnist_in_three_dimensions_and_with_many_labels(tmp_path):
  arrays = medmnist(tmp_path / "m.npz", (5, 9, 9))
  volume = arrays["train_images"].copy()
  volume[0, 2] = 3
  np.savez(tmp_path / "m.npz", **(arrays | {"train_images": volume}))
  data = npz.load(str(tmp_path / "m.npz"), image_size=0)
  assert len(data) == 13 * 5 - 1 and len(set(data.groups)) == 13 == len(set(data.patients))
  assert data.inventory["empty_slices"] == 1
  many = {f"{p}_labels": np.zeros((n, 14), int) for p, n in (("train", 6), ("val", 3), ("test", 4))}
  medmnist(tmp_path / "m.npz", (9, 9), **many)
  with pytest.raises(UserError, match="14 labels per image"):
    npz.load(str(tmp_path / "m.npz"), image_size=0)


def test_labels_of_an_npz_are_ids(tmp_path):
  images = np.stack([picture(i) for i in range(6)])
  labels = np.array([7, 10**9, 7, 7, 10**9, 10**9])
  np.savez(tmp_path / "x.npz", images=images, labels=labels, patients=list("aabbcc"), sites=[1] * 6)
  data = npz.load(str(tmp_path / "x.npz"), image_size=0)
  assert data.class_names == ("class 7", "class 1000000000")
  assert data.labels.tolist() == [0, 1, 0, 0, 1, 1] and len(set(data.groups)) == 3
  assert data.sites == ("1",) * 6


def test_an_npz_that_unpacks_to_too_much_or_holds_objects(tmp_path):
  path = tmp_path / "x.npz"
  np.savez_compressed(path, images=np.zeros((300, 300, 300), np.uint8), labels=np.zeros(300, int))
  with pytest.raises(UserError, match="--max_bytes=1000000"):
    npz.load(str(path), image_size=0, reading=Reading(max_bytes=1_000_000))
  np.savez(path, images=np.array([{}], object), labels=[0])
  with pytest.raises(UserError, match="never read"):
    npz.load(str(path), image_size=0)
