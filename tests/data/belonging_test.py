"""Property tests: whoever belongs together is never parted, whatever the data look like."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsafe_tff.data import dealing, splits
from fedsafe_tff.data.belonging import join_groups
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.partition import METHODS, partition
from fedsafe_tff.errors import UserError

FEW = settings(
  max_examples=40,
  deadline=None,
  derandomize=True,
  suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@st.composite
def image_sets(draw, sites=3):
  """Patients with some images each, near-duplicates between them, sites; classes by image."""
  rng = np.random.default_rng(draw(st.integers(0, 2**32)))
  patients = np.repeat(np.arange(draw(st.integers(30, 60))), 1)
  patients = np.repeat(patients, rng.integers(1, draw(st.integers(2, 6)), len(patients)))
  count = len(patients)
  near = np.arange(count)
  for _ in range(draw(st.integers(0, 8))):  # near-duplicates across patients
    near[rng.integers(count)] = near[rng.integers(count)]
  names = tuple(f"p{p}" if rng.random() < 0.9 else "" for p in patients)
  where = rng.integers(0, sites, int(patients.max()) + 1)
  crossing = draw(st.sampled_from([0.0, 0.1]))  # patients who go to two hospitals
  at = np.where(rng.random(count) < crossing, rng.integers(0, sites, count), where[patients])
  return ImageSet(
    images=np.zeros((count, 1, 1, 1), np.uint8),
    labels=rng.integers(0, 2, count).astype(np.int32),
    class_names=("a", "b"),
    names=tuple(map(str, range(count))),
    groups=join_groups(near, names),
    exact=np.arange(count),
    published_test=rng.random(count) < 0.2,
    source_sizes=np.ones((count, 2), np.int32),
    patients=names,
    sites=tuple(f"site {s}" for s in at),
  )


def patients_of(data, rows):
  return {data.patients[i] for i in rows} - {""}


FRACTIONS = {"evaluation_fraction": 0.3, "adaptation_fraction": 0.2, "validation_fraction": 0.1}


def split(data, **changes):
  values = {"method": "grouped", "seed": 0} | FRACTIONS | changes
  return splits.split(data, **values)


@FEW
@given(image_sets(), st.integers(0, 2**53), st.booleans())
def test_no_patient_is_on_two_sides_of_a_split(data, seed, hold):
  held = np.array(data.sites) == "site 0" if hold else None
  try:
    parts = split(data, seed=seed, holdout=held)
  except UserError:
    return
  sides = [parts.train, parts.adaptation, parts.evaluation, parts.validation]
  np.testing.assert_array_equal(np.sort(np.concatenate(sides)), np.arange(len(data)))
  for i, one in enumerate(sides):
    for other in sides[i + 1 :]:
      assert not patients_of(data, one) & patients_of(data, other)
      assert not np.isin(data.groups[one], data.groups[other]).any()
  if hold:
    assert np.isin(np.flatnonzero(held), parts.evaluation).all()
  again = split(data, seed=seed, holdout=held)
  for name in ("train", "adaptation", "evaluation", "validation"):
    np.testing.assert_array_equal(getattr(parts, name), getattr(again, name))


@FEW
@given(
  image_sets(), st.sampled_from([*METHODS, "site", "source"]), st.integers(0, 2**53),
  st.integers(1, 4), st.sampled_from([0.1, 1.0, 10.0]),
)  # fmt: skip
def test_no_patient_is_at_two_clients(data, method, seed, clients, alpha):
  train = np.flatnonzero(np.arange(len(data)) % 5 > 0)
  clients = 3 if method == "site" else clients
  wanted = {"num_clients": clients, "method": method, "alpha": alpha, "seed": seed}
  try:
    dealt = dealing.deal(data, train, **wanted)
  except UserError:
    assert method in ("dirichlet", "quantity", "site", "iid")  # which may leave a client nothing
    return
  everything = np.concatenate(dealt.clients)
  assert len(dealt.clients) == clients and min(map(len, dealt.clients)) > 0
  assert len(everything) == len(set(everything)) == len(train) - dealt.left_out
  assert np.isin(everything, train).all() and (method == "site" or dealt.left_out == 0)
  for i, one in enumerate(dealt.clients):
    for other in dealt.clients[i + 1 :]:
      assert not patients_of(data, one) & patients_of(data, other)
      assert not np.isin(data.groups[one], data.groups[other]).any()
  if method == "site":
    for name, rows in zip(dealt.sites, dealt.clients):
      assert {data.sites[i] for i in rows} == {name}
  for one, again in zip(dealt.clients, dealing.deal(data, train, **wanted).clients):
    np.testing.assert_array_equal(one, again)


@FEW
@given(st.integers(0, 2**53), st.sampled_from(METHODS), st.integers(1, 5))
def test_images_that_belong_to_nobody_are_dealt_as_before(seed, method, clients):
  labels = np.arange(200) % 3
  wanted = {"num_clients": clients, "method": method, "alpha": 1.0}
  try:
    mine = dealing.whole(labels, np.arange(200)[::-1], min_images=3, seed=seed, **wanted)
  except UserError:
    return
  theirs = partition(labels, min_images=3, seed=seed, **wanted)
  for one, other in zip(mine, theirs):
    np.testing.assert_array_equal(one, other)


@FEW
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "x", "y", "z"])), min_size=1))
def test_groups_are_joined_by_any_chain(rows):
  groups, names = np.array([g for g, _ in rows]), [n for _, n in rows]
  found = join_groups(groups, names)
  together = np.array(
    [[a[0] == b[0] or (a[1] == b[1] != "") for b in rows] for a in rows]
  )
  for _ in rows:  # the transitive closure, slowly
    together = together @ together
  np.testing.assert_array_equal(found[:, None] == found[None], together)


def test_a_site_that_does_not_fit_is_explained():
  data = image_set(["A"] * 10 + ["B"] * 10 + [""] * 1)
  everything = np.arange(20)
  for wanted, match in (
    ({"num_clients": 3}, "2 sites have training images .A, B.: give --num_clients=2"),
    ({"num_clients": 2, "min_images": 11}, "site A has 10 training images"),
  ):
    with pytest.raises(UserError, match=match):
      dealing.deal(data, everything, method="site", **wanted)
  with pytest.raises(UserError, match="1 training images have no site"):
    dealing.deal(data, np.arange(21), method="site", num_clients=2)
  with pytest.raises(UserError, match="no site is known"):
    dealing.deal(image_set(None, 4), np.arange(4), method="site", num_clients=2)


def test_a_site_with_one_class_and_one_patient_works():
  data = image_set(["A"] * 10 + ["B"] * 3, groups=[*range(10), 10, 10, 10])
  dealt = dealing.deal(data, np.arange(13), method="site", num_clients=2)
  assert [len(rows) for rows in dealt.clients] == [10, 3]


def test_holdout_sites_are_checked():
  data = image_set(["A"] * 3 + ["B"] * 3)
  assert dealing.holdout_mask(data, "") is None
  assert dealing.holdout_mask(data, "B").tolist() == [False] * 3 + [True] * 3
  for wanted, match in (("C", "known are A, B"), ("A,B", "all sites")):
    with pytest.raises(UserError, match=match):
      dealing.holdout_mask(data, wanted)
  with pytest.raises(UserError, match="none: name them"):
    dealing.holdout_mask(image_set(None, 3), "A")


def test_clusters_are_dealt_evenly():
  groups = [0] * 10 + [1] * 9 + [2] * 5 + [3] * 4 + [4, 5]
  data = image_set(None, len(groups), groups=groups)
  dealt = dealing.deal(data, np.arange(30), method="source", num_clients=3)
  assert sorted(map(len, dealt.clients)) == [10, 10, 10]


def test_the_published_validation_part_is_kept():
  data = image_set(None, 300)
  parts_of = np.arange(300) % 5
  data = ImageSet(
    **(vars(data) | {"published_test": parts_of == 0, "published_validation": parts_of == 1})
  )
  parts = split(data, method="published")
  np.testing.assert_array_equal(parts.evaluation, np.flatnonzero(parts_of == 0))
  np.testing.assert_array_equal(parts.validation, np.flatnonzero(parts_of == 1))
  assert len(parts.train) + len(parts.adaptation) == 180


def image_set(sites, count=None, groups=None):
  count = count or len(sites)
  return ImageSet(
    images=np.zeros((count, 1, 1, 1), np.uint8),
    labels=(np.arange(count) // 7 % 2).astype(np.int32),
    class_names=("a", "b"),
    names=tuple(map(str, range(count))),
    groups=np.arange(count) if groups is None else np.array(groups),
    exact=np.arange(count),
    published_test=None,
    source_sizes=np.ones((count, 2), np.int32),
    sites=None if sites is None else tuple(sites),
  )
