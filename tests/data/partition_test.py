import numpy as np
import pytest

from fedsafe_tff.data.partition import METHODS, label_counts, partition
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


def test_a_class_with_fewer_images_than_clients_is_named():
  labels = np.repeat([0, 1], [100, 3])
  with pytest.raises(UserError, match="class 1 has 3 training images"):
    partition(labels, num_clients=4, method="iid")
  assert len(partition(labels, num_clients=4, method="dirichlet")) == 4
