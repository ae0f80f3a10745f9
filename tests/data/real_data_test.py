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
    ("glioma", 1426, 205, 123, None),
    ("four_class", 3264, 394, 251, 259),
  ],
)
def test_counts_and_leaks(brain, task, images, test, exact, near):
  data = brain(task)
  assert len(data) == images and data.image_shape == (100, 100, 1)
  leaks = count_leaks(data)
  assert (leaks.test_images, leaks.exact_copies) == (test, exact)
  assert near is None or leaks.near_copies == near


def test_groups_are_those_of_the_manifest(brain, shared_data):
  data = brain("four_class")
  with (shared_data / "brain_tumor_mri" / "manifest.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  name = "file" if "file" in rows[0] else "path"
  theirs = {row[name]: row["near_group"] for row in rows}
  pairs = {(group, theirs[name]) for name, group in zip(data.names, data.groups)}
  assert len(pairs) == len(set(data.groups)) == len({b for _, b in pairs})


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
