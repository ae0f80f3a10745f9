import os

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data import loading, pathology
from fedsafe_tff.data.leaks import count_leaks
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


def test_npz_files_that_hold_something_else(tmp_path, cache_dir):
  images, labels = np.zeros((8, 16, 16), np.uint8), np.arange(8) % 2
  np.save(tmp_path / "one.npy", images)
  with pytest.raises(UserError, match="can't be read as npz.*one array without a name"):
    load(cache_dir, tmp_path / "one.npy", "npz")
  path = tmp_path / "own.npz"
  for name, value, match in (
    ("class_names", np.array("ill"), "names 1 classes"),
    ("groups", np.array(list("abcdefgh")), "groups of type .*whole numbers"),
    ("published_test", np.array(list("abcdefgh")), "published_test of type .*true or false"),
  ):
    np.savez(path, images=images, labels=labels, **{name: value})
    with pytest.raises(UserError, match=match):
      load(cache_dir, path, "npz")
  rng = np.random.default_rng(0)
  np.savez_compressed(path, images=rng.integers(0, 9, (8, 16, 16)).astype(np.uint8), labels=labels)
  whole = path.read_bytes()
  for place in range(60, 400, 20):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    try:
      load(cache_dir, path, "npz")
    except UserError:
      pass


def test_kaggles_layout(tmp_path, cache_dir):
  """Labels, published parts, and copies across them, on a folder made here."""
  rng = np.random.default_rng(0)
  root = tmp_path / "mri"
  for part in ("Training", "Testing"):
    for name in ("no_tumor", "glioma_tumor", "meningioma_tumor", "pituitary_tumor"):
      (root / part / name).mkdir(parents=True)
      for index in range(3):
        pixels = PIL.Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8)).resize((128, 128))
        pixels.save(root / part / name / f"{index}.jpg", quality=95)
  source = root / "Training" / "glioma_tumor" / "0.jpg"
  (root / "Testing" / "glioma_tumor" / "0.jpg").write_bytes(source.read_bytes())
  with PIL.Image.open(root / "Training" / "no_tumor" / "1.jpg") as picture:
    picture.save(root / "Testing" / "no_tumor" / "1.jpg", quality=90)
  spec = loading.DataSpec("brain_tumor", "glioma", str(root))
  data = loading.load(spec, cache_dir=cache_dir)
  assert data.image_shape == (100, 100, 1) and data.class_names == ("no_tumor", "glioma_tumor")
  assert [int(f) for f in data.labels] == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
  assert data.published_test.tolist() == [False] * 6 + [True] * 6
  leaks = count_leaks(data)
  assert (leaks.test_images, leaks.exact_copies, leaks.near_copies) == (6, 1, 2)
  assert leaks.sentence() == (
    "published split: 1 of 6 test images have an exact copy in the training part, 2 an exact or "
    "near copy"
  )
  assert len(load(cache_dir, root, "brain_tumor", task="four_class")) == 24


def test_a_draw_of_pathology_keeps_the_proportions(tmp_path, cache_dir):
  root = folder(tmp_path, ("train/0", "train/1", "test/0", "test/1"), count=10)
  data = load(cache_dir, root, "pathology", num_images=12)
  cells = np.bincount(2 * data.published_test + data.labels)
  assert cells.tolist() == [3, 3, 3, 3]


def write_images(root, value):
  for name in ("cat", "dog"):
    (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(2):
      pixels = np.full((20, 20), value + 10 * i, np.uint8)
      pixels[:10] += 100 if name == "cat" else 0
      PIL.Image.fromarray(pixels).save(root / name / f"{i}.bmp")  # all of one size in bytes


def set_times(root):
  for file in root.rglob("*.bmp"):
    os.utime(file, (1, 1))


def test_images_replaced_behind_links_to_class_folders_are_read_anew(tmp_path, cache_dir):
  write_images(tmp_path / "real", 20)
  (tmp_path / "data").mkdir()
  for name in ("cat", "dog"):
    (tmp_path / "data" / name).symlink_to(f"../real/{name}")
  first = load(cache_dir, tmp_path / "data")
  write_images(tmp_path / "real", 90)
  PIL.Image.new("L", (20, 20)).save(tmp_path / "real" / "dog" / "2.bmp")
  again = load(cache_dir, tmp_path / "data")
  assert (len(first), len(again)) == (4, 5)
  assert first.images.max() == 130 and again.images.max() == 200


def test_files_of_the_same_size_and_time_in_place_are_read_anew(tmp_path, cache_dir):
  """As an archive without times leaves them, or `cp -p`."""
  images = []
  for value in (20, 90):
    write_images(tmp_path / "data", value)
    set_times(tmp_path / "data")
    images.append(load(cache_dir, tmp_path / "data").images.max())
  assert images == [130, 200]


def test_the_same_relative_folder_elsewhere_is_another_one(tmp_path, cache_dir, monkeypatch):
  images = []
  for place, value in (("here", 20), ("there", 90)):
    write_images(tmp_path / place / "data", value)
    set_times(tmp_path / place)
    monkeypatch.chdir(tmp_path / place)
    images.append(load(cache_dir, "data").images.max())
  assert images == [130, 200]


def test_pixels_of_other_images_in_the_cache_are_not_served(tmp_path):
  root = folder(tmp_path / "data")
  cache = tmp_path / "cache"
  first = load(cache, root)
  content, others = first.content_hash(), 255 - np.array(first.images)
  [pixels] = (cache / "images").glob("*.npy")
  times = pixels.stat()
  np.save(pixels, others)
  os.utime(pixels, ns=(times.st_atime_ns, times.st_mtime_ns))
  told = []
  spec = loading.DataSpec("image_folder", data_dir=str(root), image_size=16)
  again = loading.load(spec, cache_dir=str(cache), progress=told.append)
  assert told and again.content_hash() == content


def test_what_tfds_holds_is_told_by_its_files(tmp_path, monkeypatch):
  image_set = load(tmp_path / "cache", folder(tmp_path / "data"))
  monkeypatch.setattr(pathology, "read_patch_camelyon", lambda *_: image_set)
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  told = []
  for content in ("one", "one", "another"):
    record = tmp_path / "tfds" / "patch_camelyon" / "2.0.0" / "train.tfrecord"
    record.parent.mkdir(parents=True, exist_ok=True)
    if not record.exists() or record.read_text() != content:
      record.write_text(content)
    spec = loading.DataSpec("pathology")
    loading.load(spec, cache_dir=str(tmp_path / "cache"), progress=told.append)
  assert told == ["reading pathology"] * 2
