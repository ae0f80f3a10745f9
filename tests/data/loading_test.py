import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data import loading
from fedsafe_tff.errors import UserError


def folder(tmp_path, layout=("cat", "dog"), count=3, gray=True):
  rng = np.random.default_rng(0)
  for name in layout:
    (tmp_path / name).mkdir(parents=True)
    for i in range(count):
      pixels = rng.integers(0, 256, (20, 30) if gray else (20, 30, 3)).astype(np.uint8)
      PIL.Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
  return tmp_path


def load(cache_dir, data_dir, dataset="image_folder", **keywords):
  spec = loading.DataSpec(dataset, data_dir=str(data_dir), image_size=16, **keywords)
  return loading.load(spec, cache_dir=cache_dir)


def test_a_users_folders(tmp_path, cache_dir):
  data = load(cache_dir, folder(tmp_path))
  assert data.class_names == ("cat", "dog") and data.images.shape == (6, 16, 16, 1)
  assert data.published_test is None and data.source_sizes[0].tolist() == [20, 30]
  again = load(cache_dir, tmp_path)
  assert again.content_hash() == data.content_hash() and again.names == data.names


def test_a_users_own_split_and_colours(tmp_path, cache_dir):
  layout = ("train/a", "train/b", "test/a", "test/b")
  data = load(cache_dir, folder(tmp_path, layout, gray=False))
  assert data.images.shape == (12, 16, 16, 3) and data.published_test.sum() == 6


def test_an_exact_copy_shares_group_and_number(tmp_path, cache_dir):
  root = folder(tmp_path)
  (root / "dog" / "copy.png").write_bytes((root / "cat" / "1.png").read_bytes())
  data = load(cache_dir, root)
  left, right = data.names.index("cat/1.png"), data.names.index("dog/copy.png")
  assert data.groups[left] == data.groups[right] and data.exact[left] == data.exact[right]
  assert len(set(data.groups)) == 6


def test_a_truncated_image_is_named_or_skipped(tmp_path, cache_dir):
  root = folder(tmp_path)
  bad = root / "cat" / "1.png"
  bad.write_bytes(bad.read_bytes()[:60])
  with pytest.raises(UserError, match="1.png.*--skip_bad_images"):
    load(cache_dir, root)
  data = load(cache_dir, root, skip_bad_images=True)
  assert len(data) == 5 and data.skipped == ("cat/1.png",)


@pytest.mark.parametrize(
  "dataset, match",
  [("image_folder", "not a folder"), ("brain_tumor", "Training"), ("pathology", "train,test")],
)
def test_a_missing_folder_says_what_is_expected(tmp_path, cache_dir, dataset, match):
  with pytest.raises(UserError, match=match):
    task = "glioma" if dataset == "brain_tumor" else ""
    load(cache_dir, tmp_path / "none", dataset, task=task)


def test_wrong_layouts_are_user_errors(tmp_path, cache_dir):
  with pytest.raises(UserError, match="is empty"):
    load(cache_dir, tmp_path)
  (tmp_path / "only").mkdir()
  with pytest.raises(UserError, match="at least 2"):
    load(cache_dir, tmp_path)
  with pytest.raises(UserError, match="Training/no_tumor.*found only"):
    load(cache_dir, tmp_path, "brain_tumor", task="glioma")
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match="holds no images"):
    load(cache_dir, tmp_path)


@pytest.mark.parametrize("dataset", ["brain_tumor", "phantom"])
def test_an_unknown_task_is_a_user_error(tmp_path, cache_dir, dataset):
  with pytest.raises(UserError, match="choose one of"):
    load(cache_dir, tmp_path, dataset, task="lungs")


def test_npz(tmp_path, cache_dir):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (8, 16, 16)).astype(np.uint8)
  path = tmp_path / "own.npz"
  np.savez(path, images=images, labels=np.arange(8) % 2, class_names=np.array(["x", "y"]))
  data = load(cache_dir, path, "npz")
  np.testing.assert_array_equal(data.images[..., 0], images)
  assert data.class_names == ("x", "y") and len(set(data.groups)) == 8
  np.savez(path, images=images.astype(np.float32), labels=np.arange(8) % 2)
  with pytest.raises(UserError, match="float32"):
    load(cache_dir, path, "npz")
  np.savez(path, images=images)
  with pytest.raises(UserError, match="no labels"):
    load(cache_dir, path, "npz")
  path.write_text("nothing")
  with pytest.raises(UserError, match="can't be read"):
    load(cache_dir, path, "npz")


def test_patch_camelyon_through_tfds(cache_dir):
  import tensorflow_datasets as tfds

  with tfds.testing.mock_data(num_examples=40):
    spec = loading.DataSpec("pathology", num_images=30)
    data = loading.load(spec, cache_dir=cache_dir)
  assert data.images.shape == (30, 96, 96, 3) and set(data.labels) <= {0, 1}
  assert data.published_test.sum() == 30 - round(0.62 * 30)


def test_sixteen_bit_images_are_refused_rather_than_clipped(tmp_path, cache_dir):
  root = folder(tmp_path)
  deep = np.full((20, 30), 40000, np.uint16)
  PIL.Image.fromarray(deep).save(root / "cat" / "1.png")
  with pytest.raises(UserError, match="1.png.*8 bits"):
    load(cache_dir, root)


def test_a_test_part_with_another_class_is_a_user_error(tmp_path, cache_dir):
  layout = ("train/a", "train/b", "test/a", "test/b", "test/c")
  with pytest.raises(UserError, match="train lacks: c"):
    load(cache_dir, folder(tmp_path, layout))


def test_the_seed_does_not_make_the_same_files_be_read_again(tmp_path, cache_dir):
  told = []
  root = folder(tmp_path)
  for seed in (0, 1):
    spec = loading.DataSpec("image_folder", data_dir=str(root), image_size=16, seed=seed)
    loading.load(spec, cache_dir=cache_dir, progress=told.append)
  assert len(told) == 1


def test_empty_or_truncated_npz_files_are_user_errors(tmp_path, cache_dir):
  path = tmp_path / "own.npz"
  np.savez(path, images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, int))
  with pytest.raises(UserError, match="no images"):
    load(cache_dir, path, "npz")
  for content in (path.read_bytes()[:40], b""):
    path.write_bytes(content)
    with pytest.raises(UserError, match="can't be read"):
      load(cache_dir, path, "npz")


def test_a_draw_of_pathology_keeps_the_proportions(tmp_path, cache_dir):
  root = folder(tmp_path, ("train/0", "train/1", "test/0", "test/1"), count=10)
  data = load(cache_dir, root, "pathology", num_images=12)
  cells = np.bincount(2 * data.published_test + data.labels)
  assert cells.tolist() == [3, 3, 3, 3]
