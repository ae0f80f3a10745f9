"""Aggregators that a minority of clients can't move at will: coordinate by coordinate, by order.

Yin et al., *Byzantine-Robust Distributed Learning*, arXiv:1803.01498. Every client counts alike: a
client that says how many examples it has would say too many. The server sees all uploads one by
one, so that they don't go with secure aggregation.
"""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError

# [clients, ...] of a tensor to the tensor.
Reduce = Callable[[tf.Tensor], tf.Tensor]


def median(stacked: tf.Tensor) -> tf.Tensor:
  """The median over the first dimension; the mean of the middle two of an even number."""
  ordered = tf.sort(stacked, axis=0)
  count = tf.shape(ordered)[0]
  return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0


def trimmed_mean(stacked: tf.Tensor, share: float = 0.2) -> tf.Tensor:
  """The mean over the first dimension without the lowest and the highest `share` of the values.

  Rounded up, so that from three clients on one at least is left out on each side; as many stay as
  make a mean.
  """
  ordered = tf.sort(stacked, axis=0)
  count = tf.shape(ordered)[0]
  cut = tf.cast(tf.math.ceil(share * tf.cast(count, tf.float32) - 1e-4), tf.int32)
  cut = tf.minimum(cut, (count - 1) // 2)
  return tf.reduce_mean(ordered[cut : count - cut], axis=0)


class OrderStatistic(tff.aggregators.UnweightedAggregationFactory):
  """Reduces the clients' uploads tensor by tensor.

  Attributes:
    reduce: `median`, `trimmed_mean` or another.
  """

  def __init__(self, reduce: Reduce):
    """Takes what reduces them."""
    self.reduce = reduce

  def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
    """See TFF.

    Raises:
      UserError: Uploads that are not all of floating-point numbers.
    """
    if not tff.types.is_structure_of_floats(value_type):
      raise UserError(f"a median is taken of tensors of numbers, not of {value_type}")
    each = tff.types.structure_from_tensor_type_tree
    stack = tff.to_type(
      each(lambda tensor: tff.TensorType(tensor.dtype, [None, *tensor.shape]), value_type)
    )
    reduce, nest = self.reduce, tf.nest.map_structure

    @tff.tensorflow.computation
    def zero():
      return each(lambda tensor: tf.zeros([0, *tensor.shape], tensor.dtype), value_type)

    @tff.tensorflow.computation(stack, value_type)
    def accumulate(table, value):
      return nest(lambda rows, row: tf.concat([rows, row[tf.newaxis]], 0), table, value)

    @tff.tensorflow.computation(stack, stack)
    def merge(left, right):
      return nest(lambda rows, more: tf.concat([rows, more], 0), left, right)

    @tff.tensorflow.computation(stack)
    def reduced(table):
      shapes = each(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), value_type)
      return nest(lambda rows, spec: tf.ensure_shape(reduce(rows), spec.shape), table, shapes)

    @tff.federated_computation
    def initialize():
      return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS)
    )
    def next_round(state, values):
      made = tff.federated_aggregate(values, zero(), accumulate, merge, reduced)
      return tff.templates.MeasuredProcessOutput(
        state, made, tff.federated_value((), tff.SERVER)
      )

    return tff.templates.AggregationProcess(initialize, next_round)
