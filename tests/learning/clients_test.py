import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import clients

PEOPLE = tff.simulation.datasets.TestClientData({
  name: {"pixels": np.full([size, 2], size, np.float32), "label": np.arange(size)}
  for name, size in (("ada", 3), ("ben", 5), ("cid", 4))
})


def ids(arguments):
  return [argument["client"].get_single_element().numpy() for argument in arguments]


def test_data_sets_get_their_places_or_the_numbers_given():
  data = [tf.data.Dataset.range(n) for n in (3, 4)]
  assert ids(clients.with_ids(data)) == [0, 1]
  arguments = clients.with_ids(data, [70, 2])
  assert ids(arguments) == [70, 2]
  assert [argument["data"] for argument in arguments] == data
  assert all(isinstance(argument, collections.OrderedDict) for argument in arguments)


def test_clients_of_a_client_data_keep_their_number_in_every_round():
  def preprocess(dataset):
    return dataset.batch(2).map(lambda example: (example["pixels"], example["label"]))

  first = clients.from_client_data(PEOPLE, ["cid", "ada"], preprocess)
  later = clients.from_client_data(PEOPLE, ["cid"], preprocess)
  assert ids(first) == [2, 0] and ids(later) == [2]
  sizes = [int(sum(len(y) for _, y in argument["data"])) for argument in first]
  assert sizes == [4, 3]


@pytest.mark.parametrize(
  "call, match",
  [(lambda: clients.with_ids([1, 2, 3], [5, 6, 5]), "two clients have the identifier 5"),
   (lambda: clients.with_ids([1, 2], [5]), "2 data sets and 1 client identifiers"),
   (lambda: clients.from_client_data(PEOPLE, ["ada", "ada"]), "two clients have the identifier 0"),
   (lambda: clients.from_client_data(PEOPLE, ["dan"]), "no client 'dan'")],
)
def test_clients_that_cannot_be(call, match):
  with pytest.raises(UserError, match=match):
    call()
