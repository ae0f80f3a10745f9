import numpy as np
import pytest

from fedsafe_tff.data import seeds
from fedsafe_tff.data.partition import ALPHAS, METHODS, label_counts, partition
from fedsafe_tff.errors import UserError

LABELS = np.repeat([0, 1, 2], [300, 200, 100])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("clients", [1, 3, 10])
def test_partitions_are_disjoint_complete_large_enough_and_repeatable(method, clients):
  settings = {"num_clients": clients, "method": method, "alpha": 1.0, "min_images": 10}
  parts = partition(LABELS, seed=2, **settings)
  np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))
  assert len(parts) == clients and min(map(len, parts)) >= 10
  for part, again in zip(parts, partition(LABELS, seed=2, **settings)):
    np.testing.assert_array_equal(part, again)


def spread(method, alpha=1.0):
  """Mean distance of the clients' label shares from the whole's."""
  distances = []
  for seed in range(10):
    parts = partition(LABELS, num_clients=5, method=method, alpha=alpha, seed=seed)
    counts = label_counts(LABELS, parts, 3)
    shares = counts / counts.sum(1, keepdims=True)
    distances.append(np.abs(shares - [1 / 2, 1 / 3, 1 / 6]).sum(1).mean())
  return np.mean(distances)


def test_alpha_sets_how_far_from_iid():
  assert spread("dirichlet", 0.1) > 2 * spread("dirichlet", 10.0)
  assert spread("iid") < 0.25 and spread("quantity", 2.0) < 0.35 < spread("shards")


def test_too_few_images_are_a_user_error():
  with pytest.raises(UserError, match="too few"):
    partition(LABELS, num_clients=100, method="iid", min_images=10)
  with pytest.raises(UserError, match="dirichlet_alpha"):
    partition(LABELS, num_clients=30, method="dirichlet", alpha=0.01, min_images=19)


@pytest.mark.parametrize("method", ["dirichlet", "quantity"])
@pytest.mark.parametrize("alpha", [1e-100, 1e-9, 1e308, float("nan")])
def test_concentrations_without_a_finite_draw_are_refused(method, alpha):
  """NumPy never comes back from some of them, not even for Ctrl-C."""
  with pytest.raises(UserError, match=r"--dirichlet_alpha=.* must lie in \[0.0001, 1e\+06\]"):
    partition(LABELS, num_clients=3, method=method, alpha=alpha)


def test_the_limits_of_the_concentration_still_deal():
  for method in ("dirichlet", "quantity"):
    parts = partition(LABELS, num_clients=3, method=method, alpha=ALPHAS[1], min_images=195)
    assert len(np.unique(np.concatenate(parts))) == len(LABELS)
  # Every class goes to one client as a whole.
  parts = partition(LABELS, num_clients=2, method="dirichlet", alpha=ALPHAS[0], min_images=1)
  assert (label_counts(LABELS, parts, 3) == 0).sum() == 3


def test_the_advice_is_one_that_can_help():
  def deal(method, alpha=1.0, count=600, clients=10):
    least = count // clients
    return partition(
      LABELS[:count], num_clients=clients, method=method, alpha=alpha, min_images=least
    )

  with pytest.raises(UserError, match="raise --dirichlet_alpha=0.01, or lower"):
    deal("dirichlet", 0.01)
  with pytest.raises(UserError, match="choose --partition=iid, or lower"):
    deal("quantity", 1e3)
  with pytest.raises(UserError, match="choose --partition=iid, or lower"):
    deal("shards", count=597, clients=199)
  assert {len(part) for part in deal("iid")} == {60}


@pytest.mark.parametrize("counts, clients", [((97, 3), 3), ((3, 3, 3), 3), ((60, 7, 9, 8), 7)])
def test_iid_gives_every_client_an_image_of_every_class(counts, clients):
  labels = np.repeat(np.arange(len(counts)), counts)
  for seed in range(40):
    parts = partition(labels, num_clients=clients, method="iid", seed=seed)
    assert label_counts(labels, parts, len(counts)).min() >= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
  # What is swapped is drawn, too.
  assert len({tuple(partition(labels, num_clients=clients, method="iid", seed=s)[0])
              for s in range(40)}) > 10


def test_an_iid_deal_that_gives_all_classes_stays_as_it_was():
  rng = seeds.generator(5, "partition/iid")
  expected = np.array_split(rng.permutation(len(LABELS)), 4)
  for part, plain in zip(partition(LABELS, num_clients=4, method="iid", seed=5), expected):
    np.testing.assert_array_equal(part, np.sort(plain))


def test_a_class_with_fewer_images_than_clients_is_named():
  labels = np.repeat([0, 1], [100, 3])
  with pytest.raises(UserError, match="class 1 has 3 training images"):
    partition(labels, num_clients=4, method="iid")
  assert len(partition(labels, num_clients=4, method="dirichlet")) == 4
