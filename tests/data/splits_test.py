import numpy as np
import pytest

from fedsafe_tff.data import splits
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.splits import split
from fedsafe_tff.errors import UserError

FRACTIONS = {"evaluation_fraction": 0.25, "adaptation_fraction": 0.15, "validation_fraction": 0.1}


def image_set(count=600, copies=3, published=True):
  rng = np.random.default_rng(0)
  return ImageSet(
    images=rng.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8),
    labels=(np.arange(count) // copies % 3 == 0).astype(np.int32),
    class_names=("a", "b"),
    names=tuple(map(str, range(count))),
    groups=np.arange(count) // copies,
    exact=np.arange(count),
    published_test=np.arange(count) % 4 == 0 if published else None,
    source_sizes=np.full((count, 2), 4, np.int32),
  )


@pytest.mark.parametrize("seed", range(5))
def test_grouped_parts_are_disjoint_complete_and_share_no_group(seed):
  data = image_set()
  parts = split(data, method="grouped", seed=seed, **FRACTIONS)
  everything = [parts.train, parts.adaptation, parts.evaluation, parts.validation]
  np.testing.assert_array_equal(np.sort(np.concatenate(everything)), np.arange(len(data)))
  groups = [set(data.groups[p]) for p in everything]
  assert sum(map(len, groups)) == len(set.union(*groups))
  for part, share in zip(everything, (0.5, 0.15, 0.25, 0.1)):
    assert abs(len(part) / len(data) - share) < 0.02
    assert abs(data.labels[part].mean() - data.labels.mean()) < 0.06


def test_large_groups_do_not_gather_in_one_part():
  data = image_set()
  groups = np.where(np.arange(600) < 300, np.arange(600) // 2, np.arange(600))
  data = ImageSet(**(vars(data) | {"groups": groups}))
  sizes = np.bincount(groups)[groups]
  shares = []
  for seed in range(10):
    parts = split(data, method="grouped", seed=seed, **FRACTIONS)
    shares.append((sizes[parts.evaluation] > 1).mean())
  assert abs(np.mean(shares) - 0.5) < 0.05


def test_published_keeps_the_test_part_and_groups_the_rest():
  data = image_set()
  parts = split(data, method="published", seed=1, **FRACTIONS)
  np.testing.assert_array_equal(parts.evaluation, np.flatnonzero(data.published_test))
  rest = [set(data.groups[p]) for p in (parts.train, parts.adaptation, parts.validation)]
  assert not rest[0] & rest[1] and not rest[0] & rest[2] and not rest[1] & rest[2]


def test_same_seed_same_parts():
  first, again, other = (
    split(image_set(), method="grouped", seed=s, **FRACTIONS).train for s in (3, 3, 4)
  )
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)


def test_what_cannot_be_split_is_a_user_error():
  with pytest.raises(UserError, match="no test part"):
    split(image_set(published=False), method="published", seed=0, **FRACTIONS)
  with pytest.raises(UserError, match="too few"):
    split(image_set(count=9), method="grouped", seed=0, **FRACTIONS)


def test_fractions_that_leave_no_training_images_are_a_user_error():
  with pytest.raises(UserError, match="below 1"):
    split(
      image_set(), method="grouped", evaluation_fraction=0.6, adaptation_fraction=0.3,
      validation_fraction=0.1, seed=0,
    )


def test_a_choice_is_numpys():
  rng, again = np.random.default_rng(5), np.random.default_rng(5)
  for number in range(300):
    weights = np.maximum(np.random.default_rng(number).normal(1, 1, 4), 0)
    weights[number % 4] += 0.1
    chosen = rng.choice(4, p=weights / weights.sum())
    assert splits._choice(weights.tolist(), float(again.random())) == chosen
