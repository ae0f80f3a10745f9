"""On the real images: counts of the paper, copies across the published split, groups."""

import csv

import numpy as np
import pytest

from fedsafe_tff.data import loading, splits
from fedsafe_tff.data.leaks import count_leaks
from fedsafe_tff.data.trivial import trivial_baselines


@pytest.fixture(scope="module")
def brain(shared_data, cache_dir):
  def load(task):
    spec = loading.DataSpec("brain_tumor", task, str(shared_data / "brain_tumor_mri"))
    return loading.load(spec, cache_dir=cache_dir)

  return load


@pytest.mark.parametrize(
  "task, images, test, exact, near",
  [
    ("meningioma", 1437, 220, 211, None),
    pytest.param("glioma", 1426, 205, 123, None, marks=pytest.mark.slow),
    pytest.param("four_class", 3264, 394, 251, 272, marks=pytest.mark.slow),
  ],
)
def test_counts_and_leaks(brain, task, images, test, exact, near):
  data = brain(task)
  assert len(data) == images and data.image_shape == (100, 100, 1)
  leaks = count_leaks(data)
  assert (leaks.test_images, leaks.exact_copies) == (test, exact)
  assert near is None or leaks.near_copies == near


# The same picture at another resolution, with a border of a pixel, or cropped: hashes miss them.
COPIES = (
  ("Training/no_tumor/image (29).jpg", "Training/no_tumor/image (30).jpg"),
  ("Testing/no_tumor/image(65).jpg", "Testing/no_tumor/image(76).jpg"),
  ("Training/no_tumor/image(40).jpg", "Training/no_tumor/image(51).jpg"),
  ("Testing/no_tumor/image(20).jpg", "Training/no_tumor/image(47).jpg"),
  ("Training/no_tumor/image (61).jpg", "Training/no_tumor/image(47).jpg"),
  ("Testing/no_tumor/image(29).jpg", "Training/no_tumor/image(22).jpg"),
  ("Training/no_tumor/image(22).jpg", "Training/no_tumor/image(5).jpg"),
  ("Training/no_tumor/image (9).jpg", "Training/no_tumor/image(214).jpg"),
  ("Testing/meningioma_tumor/image(113).jpg", "Training/meningioma_tumor/m1(201).jpg"),
  ("Testing/meningioma_tumor/image(20).jpg", "Training/meningioma_tumor/m3 (140).jpg"),
  ("Testing/pituitary_tumor/image(18).jpg", "Training/pituitary_tumor/p (129).jpg"),
  ("Testing/glioma_tumor/image(52).jpg", "Testing/meningioma_tumor/image(10).jpg"),
)
# Slices beside one another; of all pairs that are no copies, their details are most alike.
NEIGHBOURS = (
  ("Training/glioma_tumor/gg (737).jpg", "Training/glioma_tumor/gg (738).jpg"),
  ("Training/glioma_tumor/gg (524).jpg", "Training/glioma_tumor/gg (525).jpg"),
  ("Training/pituitary_tumor/p (601).jpg", "Training/pituitary_tumor/p (602).jpg"),
  ("Training/glioma_tumor/gg (742).jpg", "Training/glioma_tumor/gg (743).jpg"),
)


@pytest.mark.slow
def test_copies_are_linked_and_neighbouring_slices_are_not(brain):
  data = brain("four_class")
  group = dict(zip(data.names, data.groups))
  for left, right in COPIES:
    assert group[left] == group[right], (left, right)
  for left, right in NEIGHBOURS:
    assert group[left] != group[right], (left, right)


@pytest.mark.slow
def test_the_second_look_joins_some_groups_of_the_manifest(brain, shared_data):
  """Those are by hashes alone; every pair that joins two of them was looked at."""
  data = brain("four_class")
  with (shared_data / "brain_tumor_mri" / "manifest.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  name = "file" if "file" in rows[0] else "path"
  theirs = {row[name]: row["near_group"] for row in rows}
  pairs = {(group, theirs[name]) for name, group in zip(data.names, data.groups)}
  assert len(pairs) == len({b for _, b in pairs}) == 2830  # none is torn apart
  assert len(set(data.groups)) == 2773
  assert np.bincount(data.groups).max() <= 12


@pytest.mark.parametrize(
  "task", ["meningioma", pytest.param("glioma", marks=pytest.mark.slow)]
)
def test_no_evaluation_image_has_a_copy_in_training(brain, task):
  """Told without hashes and alignment: no pair across the parts is as alike as copies are."""
  data = brain(task)
  pixels = data.images.reshape(len(data), -1).astype(np.float32)
  pixels -= pixels.mean(1, keepdims=True)
  pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
  alike = pixels @ pixels.T
  for seed in range(5):
    parts = splits.split(
      data, method="grouped", evaluation_fraction=0.25, adaptation_fraction=0.15,
      validation_fraction=0.05, seed=seed,
    )
    others = np.concatenate([parts.train, parts.adaptation, parts.validation])
    assert alike[np.ix_(parts.evaluation, others)].max() < 0.98


def test_the_grouped_split_does_not_leak(brain):
  data = brain("meningioma")
  parts = splits.split(
    data, method="grouped", evaluation_fraction=0.25, adaptation_fraction=0.15,
    validation_fraction=0.05, seed=0,
  )
  others = np.concatenate([parts.train, parts.adaptation, parts.validation])
  assert not np.isin(data.groups[parts.evaluation], data.groups[others]).any()
  assert not np.isin(data.exact[parts.evaluation], data.exact[others]).any()
  # 512x512 means tumour: 0.82 over all images, so about that on a fair draw of them.
  scores = trivial_baselines(data, parts.train, parts.evaluation)
  assert abs(scores["source_512"] - 0.817) < 0.06


def test_pathology(shared_data, cache_dir):
  spec = loading.DataSpec("pathology", data_dir=str(shared_data / "pathology"))
  data = loading.load(spec, cache_dir=cache_dir)
  assert data.images.shape == (2150, 96, 96, 3) and data.published_test.sum() == 817
  test = data.published_test
  scores = trivial_baselines(data, np.flatnonzero(~test), np.flatnonzero(test))
  assert 0.78 < scores["color_ridge"] < 0.84 and "source_512" not in scores
  some = loading.load(
    loading.DataSpec("pathology", data_dir=str(shared_data / "pathology"), num_images=100),
    cache_dir=cache_dir,
  )
  assert len(some) == 100 and set(some.labels) == {0, 1}
