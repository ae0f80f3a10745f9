"""What a client's argument to `next` is, and how its batches come of it.

TFF hands a client's work nothing but its argument, so the client's identifier travels there: it
keys the client's share of all randomness and must be unique in a round.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.dp_sgd.sampling import PoissonFeed
from fedsafe_tff.training.feeds import BatchFeed, ImageFeed


class Clients(Protocol):
  """A form of the clients' arguments."""

  def argument_type(self, model: FunctionalModel) -> tff.Type:
    """What the client work takes: a sequence or a structure of sequences, as TFF wants it."""

  def client_of(self, argument: Any) -> tf.Tensor:
    """The client's identifier, int32."""

  def feed(self, argument: Any, key: tf.Tensor) -> ImageFeed | BatchFeed:
    """The client's batches; `key` is the client's of the round."""

  def compose(
    self, process: tff.learning.templates.LearningProcess
  ) -> tff.learning.templates.LearningProcess:
    """The process with arguments as users give them."""


@dataclasses.dataclass(frozen=True)
class Batches:
  """Data sets of (x, y) batches, repeated and shuffled by their owner, as TFF's algorithms have it.

  A client's argument is what `with_ids` or `from_client_data` makes of its data set: batches of the
  model's `batch_spec`, by default images float32 [n, h, w, c] in [0, 1] and labels int32 [n]. These
  two make float32 in [0, 1] of uint8 images. Batches of another type or shape end `next` with a
  TypeError before anything is computed.
  """

  def argument_type(self, model: FunctionalModel) -> tff.Type:
    """`<client=int32*, data=batches*>`."""
    data = tff.SequenceType(types.batch_type(model))
    return tff.StructType([("client", tff.SequenceType(types.CLIENT)), ("data", data)])

  def client_of(self, argument: Any) -> tf.Tensor:
    """See `Clients`."""
    return argument["client"].get_single_element()

  def feed(self, argument: Any, key: tf.Tensor) -> BatchFeed:
    """See `Clients`."""
    del key
    return BatchFeed(argument["data"])

  def compose(
    self, process: tff.learning.templates.LearningProcess
  ) -> tff.learning.templates.LearningProcess:
    """See `Clients`."""
    return process


@dataclasses.dataclass(frozen=True)
class Shards:
  """Clients that read their own images where they run: the argument is an identifier, int32.

  Attributes:
    read: An int32 tensor, the client, to its images, uint8 [n, height, width, channels], and
      labels, int32 [n]; `data.shard_reader.read_client` reads those of `data.shards`.
    batch_size: Local batch size; the last batch of an epoch may be smaller.
    epochs: Local epochs E.
    shuffle: Whether every epoch has its own order.
    augment: Names of augmentations, see `data.augment`.
    poisson_steps: Above 0, so many batches in the place of epochs, each image in each of them by a
      coin of its own, `batch_size` in expectation: what DP-SGD's accounting presumes.
  """

  read: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
  batch_size: int = 32
  epochs: int = 1
  shuffle: bool = True
  augment: tuple[str, ...] = ()
  poisson_steps: int = 0

  def argument_type(self, model: FunctionalModel) -> tff.Type:
    """`int32*`: the one identifier."""
    del model
    return tff.SequenceType(types.CLIENT)

  def client_of(self, argument: Any) -> tf.Tensor:
    """See `Clients`."""
    return argument.get_single_element()

  def feed(self, argument: Any, key: tf.Tensor) -> ImageFeed | PoissonFeed:
    """See `Clients`."""
    return self.feed_of(self.client_of(argument), key)

  def feed_of(self, client: tf.Tensor, key: tf.Tensor) -> ImageFeed | PoissonFeed:
    """The batches of a client in the round of `key`."""
    images, labels = self.read(client)
    if self.poisson_steps:
      count = tf.cast(tf.shape(labels)[0], tf.float32)
      return PoissonFeed(
        images,
        labels,
        key,
        rate=tf.minimum(self.batch_size / count, 1.0),
        steps=self.poisson_steps,
        ops=self.augment,
      )
    return ImageFeed(
      images,
      labels,
      key,
      batch_size=self.batch_size,
      epochs=self.epochs,
      shuffle=self.shuffle,
      ops=self.augment,
    )

  def compose(
    self, process: tff.learning.templates.LearningProcess
  ) -> tff.learning.templates.LearningProcess:
    """See `Clients`."""

    @tff.tensorflow.computation(types.CLIENT)
    def as_sequence(client):
      return tf.data.Dataset.from_tensors(client)

    return tff.simulation.compose_dataset_computation_with_learning_process(as_sequence, process)


def with_ids(
  datasets: Sequence[tf.data.Dataset], ids: Sequence[int] | None = None
) -> list[collections.OrderedDict[str, tf.data.Dataset]]:
  """The clients' arguments from their data sets, for `Batches`.

  Args:
    datasets: Per client, its batches.
    ids: Per client, a number of its own, the same in every round; by default its place. Where
      clients are sampled, say which they are.

  Returns:
    Per client, its identifier and its batches, whose images become float32 in [0, 1] where they
    are uint8.

  Raises:
    UserError: Two clients of one identifier, or not one for each client.
  """
  ids = list(range(len(datasets))) if ids is None else [int(number) for number in ids]
  if len(ids) != len(datasets):
    raise UserError(f"{len(datasets)} data sets and {len(ids)} client identifiers: give one each")
  check_ids(ids)
  return [
    collections.OrderedDict(
      client=tf.data.Dataset.from_tensors(np.int32(number)), data=_as_floats(dataset)
    )
    for number, dataset in zip(ids, datasets)
  ]


def _as_floats(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Batches of (x, y) or {"x", "y"} whose uint8 images are float32 in [0, 1] now."""
  spec = getattr(dataset, "element_spec", None)
  named = isinstance(spec, Mapping) and set(spec) == {"x", "y"}
  if not named and not (isinstance(spec, tuple) and len(spec) == 2):
    return dataset
  x = spec["x"] if named else spec[0]
  if not isinstance(x, tf.TensorSpec) or x.dtype != tf.uint8:
    return dataset
  if named:
    return dataset.map(lambda batch: type(spec)(x=_in_unit_interval(batch["x"]), y=batch["y"]))
  return dataset.map(lambda images, labels: (_in_unit_interval(images), labels))


def _in_unit_interval(images: tf.Tensor) -> tf.Tensor:
  return tf.cast(images, tf.float32) / 255.0  # the same operation as everywhere


def from_client_data(
  client_data: tff.simulation.datasets.ClientData,
  client_ids: Sequence[str],
  preprocess: Callable[[tf.data.Dataset], tf.data.Dataset] = lambda dataset: dataset,
) -> list[collections.OrderedDict[str, tf.data.Dataset]]:
  """The arguments of some clients of a `ClientData`, for `Batches`.

  Args:
    client_data: TFF's federated data set.
    client_ids: Names of the clients that take part.
    preprocess: Makes batches of a client's examples: shuffles, repeats, batches and maps.

  Raises:
    UserError: A client twice, or one that is not there.
  """
  place = {name: number for number, name in enumerate(client_data.client_ids)}
  unknown = [name for name in client_ids if name not in place]
  if unknown:
    raise UserError(f"the client data have no client {unknown[0]!r}")
  datasets = [preprocess(client_data.create_tf_dataset_for_client(name)) for name in client_ids]
  return with_ids(datasets, [place[name] for name in client_ids])


def check_ids(ids: Sequence[int]) -> None:
  """Refuses a client that takes part twice: it would get the same noise twice.

  Raises:
    UserError: There is one.
  """
  twice = [number for number, count in collections.Counter(ids).items() if count > 1]
  if twice:
    raise UserError(f"two clients have the identifier {twice[0]}: each needs one of its own")
