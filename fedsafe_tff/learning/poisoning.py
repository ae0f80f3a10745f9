"""Clients who poison the training, to see how far a method goes: nothing here defends.

Label flips (Tolpegin et al., arXiv:2007.08432): a client trains honestly on wrong labels. Model
replacement (Bagdasaryan et al., arXiv:1807.00459): it uploads its update many times over, so that
the mean becomes its own model. A client that does both replaces the model by one of wrong labels.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError

Read = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def flip_labels(read: Read, clients: Sequence[int], num_classes: int) -> Read:
  """Reads a client's images as `read` does; those of some clients with the next class's label.

  Args:
    read: Client, int32, to images and labels, int32 [n], as `clients.Shards` has it.
    clients: Who flips.
    num_classes: Of the labels.
  """

  def flipped(client: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = read(client)
    return images, tf.where(_is_one(client, clients), (labels + 1) % num_classes, labels)

  return flipped


def boosted(
  client_work: tff.learning.templates.ClientWorkProcess, clients: Sequence[int], factor: float
) -> tff.learning.templates.ClientWorkProcess:
  """Client work in which some clients upload their update many times over.

  Args:
    client_work: What clients do, which uploads updates; its argument is a client's identifier, as
      with `clients.Shards`.
    clients: Who boosts.
    factor: By how much. The number of clients makes the mean the boosted model, where all have
      as many examples and the others hardly move.

  Raises:
    UserError: A factor that is not above 0.
  """
  if not factor > 0:
    raise UserError(f"an update is boosted by a factor above 0, not by {factor}")
  state_type, weights_type, argument_type = client_work.next.type_signature.parameter
  result_type = client_work.next.type_signature.result.result.member

  @tff.tensorflow.computation(result_type, argument_type.member)
  def boost(result, argument):
    one = _is_one(argument.get_single_element(), clients)
    scale = tf.where(one, factor, 1.0)
    update = tf.nest.map_structure(lambda t: t * tf.cast(scale, t.dtype), result.update)
    return tff.learning.templates.ClientResult(update, result.update_weight)

  @tff.federated_computation(state_type, weights_type, argument_type)
  def next_round(state, received, arguments):
    output = client_work.next(state, received, arguments)
    results = tff.federated_map(boost, (output.result, arguments))
    return tff.templates.MeasuredProcessOutput(output.state, results, output.measurements)

  return tff.learning.templates.ClientWorkProcess(
    client_work.initialize,
    next_round,
    get_hparams_fn=client_work.get_hparams,
    set_hparams_fn=client_work.set_hparams,
  )


def _is_one(client: tf.Tensor, clients: Sequence[int]) -> tf.Tensor:
  return tf.reduce_any(tf.equal(client, tf.constant(list(clients), tf.int32)))
