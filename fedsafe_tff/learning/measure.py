"""What clients tell of their work, as a table with a row for each, and what is said of all."""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.learning import types
from fedsafe_tff.training.local import METRICS

TOLD = tff.StructType(
  [("client", types.CLIENT), ("metrics", tff.TensorType(np.float32, [len(METRICS)]))]
)
TABLE = tff.StructType(
  [
    ("client", tff.TensorType(np.int32, [None])),
    ("metrics", tff.TensorType(np.float32, [None, len(METRICS)])),
  ]
)


def collect(told: tff.Value) -> tff.Value:
  """What each client tells, `<client, metrics>`, as a table at the server."""

  def joined(table, clients, metrics):
    return collections.OrderedDict(
      client=tf.concat([table["client"], clients], 0),
      metrics=tf.concat([table["metrics"], metrics], 0),
    )

  @tff.tensorflow.computation
  def zero():
    return collections.OrderedDict(
      client=tf.zeros([0], tf.int32), metrics=tf.zeros([0, len(METRICS)])
    )

  @tff.tensorflow.computation(TABLE, TOLD)
  def accumulate(table, row):
    return joined(table, [row["client"]], [row["metrics"]])

  @tff.tensorflow.computation(TABLE, TABLE)
  def merge(left, right):
    return joined(left, right["client"], right["metrics"])

  @tff.tensorflow.computation(TABLE)
  def report(table):
    return table

  return tff.federated_aggregate(told, zero(), accumulate, merge, report)


@tff.tensorflow.computation(TABLE)
def summary(table):  # noqa: ANN201
  """Measurements of a round from its table; two clients of one identifier end it."""
  ids = table["client"]
  unique = tf.size(tf.unique(ids)[0])
  same = tf.debugging.assert_equal(
    unique,
    tf.size(ids),
    message="two clients have the same identifier: each needs one of its own",
  )
  with tf.control_dependencies([same]):
    metrics = tf.identity(table["metrics"])
  column = {name: metrics[:, index] for index, name in enumerate(METRICS)}
  examples = tf.reduce_sum(column["num_examples"])
  share = column["num_examples"] / examples
  train = collections.OrderedDict(
    loss=tf.reduce_sum(share * column["loss"]),
    accuracy=tf.reduce_sum(share * column["accuracy"]),
    num_examples=examples,
  )
  return collections.OrderedDict(
    train=train, clients=collections.OrderedDict(client=ids, metrics=metrics)
  )
