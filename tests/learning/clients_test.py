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


@pytest.mark.parametrize("named", [False, True])
def test_uint8_images_become_floats_and_no_other_data_are_touched(named):
  x, y = np.array([[[[0]]], [[[51]]], [[[255]]]], np.uint8), np.array([0, 1, 2], np.uint8)
  batches = collections.OrderedDict(x=x, y=y) if named else (x, y)
  [argument] = clients.with_ids([tf.data.Dataset.from_tensors(batches)])
  made = argument["data"].get_single_element()
  assert isinstance(made, collections.OrderedDict) == named
  images, labels = made.values() if named else made
  np.testing.assert_array_equal(images[:, 0, 0, 0], np.float32([0, 0.2, 1]))
  assert labels.dtype == tf.uint8
  floats = tf.data.Dataset.from_tensors((x.astype(np.float32), y))
  assert clients.with_ids([floats])[0]["data"] is floats


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
