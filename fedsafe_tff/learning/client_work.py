"""Client work as TFF's template: local training, clipping, uplink noise (Eq. 1-3, 5)."""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.learning import measure, types
from fedsafe_tff.learning.clients import Batches, Clients
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.training.copies import Copies
from fedsafe_tff.training.gradients import LocalGradient, Plain
from fedsafe_tff.training.local import METRICS, local_update
from fedsafe_tff.training.schedules import Schedule
from fedsafe_tff.training.upload import Upload

_RATE = tff.learning.optimizers.LEARNING_RATE_KEY


def build_client_work(
  model: FunctionalModel,
  optimizer: tff.learning.optimizers.Optimizer,
  *,
  clients: Clients = Batches(),
  gradient: LocalGradient = Plain(),
  gradient_clip: float = 0.0,
  weight_decay: float = 0.0,
  upload: Upload = Upload(),
  learning_rate_fn: Schedule | None = None,
  attack_eps_fn: Schedule | None = None,
  seed: int = 0,
  noise_seed: int | None = None,
  leave_out_not_finite: bool = False,
) -> tff.learning.templates.ClientWorkProcess:
  """Local training as `tff.learning.templates.ClientWorkProcess`.

  Its state holds the round, the clients' keys, and what the next round will train with: the
  optimizer's hyperparameters and the perturbation size. These are its `hparams`; a schedule sets
  them anew after every round. It measures `train`, over all clients, and `clients`: who took part,
  int32 [k], and a row of `training.local.METRICS` for each, float32 [k, 6].

  Args:
    model: The model.
    optimizer: Takes the local steps; its state begins anew in every round.
    clients: The form of the clients' arguments.
    gradient: What the local steps follow.
    gradient_clip: L2 norm to which the gradient of every step is scaled down; 0 leaves it.
    weight_decay: Share of a kernel that is added to its gradient after that.
    upload: Clipping and noise of what goes up.
    learning_rate_fn: Schedule of the local learning rate; None leaves the optimizer's.
    attack_eps_fn: Schedule of the perturbation size in local adversarial training; None leaves the
      gradient's.
    seed: Of order, augmentation, dropout and random starts.
    noise_seed: Of uplink noise, and of all that is random in local training where the gradient is
      private; None draws it from the system's entropy.
    leave_out_not_finite: Whether an upload that is not finite counts as zeros of weight 0, so that
      a weighted mean is that of the other clients. Its row of metrics has a norm of NaN.

  Raises:
    TypeError: `optimizer` is none of TFF's, or a schedule is no function.
  """
  check_optimizer("client_optimizer", optimizer)
  weights_type = types.weights_type(model)
  argument_type = clients.argument_type(model)
  # A child of the key of all noise: clients see no more of it.
  private = getattr(gradient, "private", False)
  noise_root = types.noise_key(noise_seed, seed, noisy=upload.sigma > 0 or private)
  noise_key = keys.fold(noise_root, keys.UPLINK_NOISE).numpy()
  own_hparams = optimizer.get_hparams(optimizer.initialize(tf.TensorSpec([], tf.float32)))
  for name, schedule in (("learning_rate_fn", learning_rate_fn), ("attack_eps_fn", attack_eps_fn)):
    if schedule is not None and not callable(schedule):
      raise TypeError(f"{name} must be a function of the round, found {type(schedule).__name__}")
  if learning_rate_fn is not None and _RATE not in own_hparams:
    raise TypeError(f"learning_rate_fn needs an optimizer with a learning rate, not {optimizer!r}")

  def hparams_in(round_number, hparams):
    """What a round trains with; what has no schedule stays as it is."""
    rate, eps = hparams["optimizer"], hparams["attack_eps"]
    if learning_rate_fn is not None:
      rate = collections.OrderedDict(rate)
      rate[_RATE] = tf.cast(learning_rate_fn(round_number), tf.float32)
    if attack_eps_fn is not None:
      eps = tf.cast(attack_eps_fn(round_number), tf.float32)
    return collections.OrderedDict(optimizer=rate, attack_eps=eps)

  def with_hparams(state, hparams, number):
    return collections.OrderedDict(
      round=number, key=state["key"], noise_key=state["noise_key"], hparams=hparams
    )

  @tff.tensorflow.computation
  def initial_state():
    start = collections.OrderedDict(
      optimizer=tf.nest.map_structure(tf.convert_to_tensor, own_hparams),
      attack_eps=tf.constant(getattr(gradient, "attack_eps", 0.0), tf.float32),
    )
    return collections.OrderedDict(
      round=tf.constant(0),
      key=types.stream(seed, keys.CLIENT_STREAM),
      noise_key=tf.constant(noise_key),
      hparams=hparams_in(tf.constant(0), start),
    )

  state_type = initial_state.type_signature.result

  @tff.tensorflow.computation(state_type)
  def next_state(state):
    number = state["round"] + 1
    hparams = hparams_in(number, state["hparams"])
    return with_hparams(state, hparams, number)

  @tff.tensorflow.computation(state_type, weights_type, argument_type)
  def work(state, received, argument):
    client = clients.client_of(argument)
    key, noise = (keys.fold(state[n], state["round"], client) for n in ("key", "noise_key"))
    key = noise if private else key  # a sample that can be guessed amplifies nothing
    uploaded, metrics = local_update(
      model,
      tuple(received.trainable),
      clients.feed(argument, key),
      key,
      optimizer,
      upload,
      hparams=state["hparams"]["optimizer"],
      gradient=gradient,
      gradient_clip=gradient_clip,
      weight_decay=weight_decay,
      attack_eps=state["hparams"]["attack_eps"],
      noise_key=noise,
    )
    weight = metrics[0]
    if leave_out_not_finite:
      uploaded, weight, metrics = _only_finite(uploaded, metrics)
    result = tff.learning.templates.ClientResult(update=uploaded, update_weight=weight)
    return result, collections.OrderedDict(client=client, metrics=metrics)

  @tff.federated_computation
  def initialize():
    return tff.federated_eval(initial_state, tff.SERVER)

  @tff.federated_computation(
    tff.FederatedType(state_type, tff.SERVER),
    tff.FederatedType(weights_type, tff.CLIENTS),
    tff.FederatedType(argument_type, tff.CLIENTS),
  )
  def next_round(state, received, arguments):
    result, told = tff.federated_map(work, (tff.federated_broadcast(state), received, arguments))
    measurements = tff.federated_map(measure.summary, measure.collect(told))
    return tff.templates.MeasuredProcessOutput(
      tff.federated_map(next_state, state), result, measurements
    )

  @tff.tensorflow.computation(state_type)
  def get_hparams(state):
    return state["hparams"]

  @tff.tensorflow.computation(state_type, get_hparams.type_signature.result)
  def set_hparams(state, hparams):
    return with_hparams(state, hparams, state["round"])

  return tff.learning.templates.ClientWorkProcess(
    initialize, next_round, get_hparams_fn=get_hparams, set_hparams_fn=set_hparams
  )


def _only_finite(uploaded, metrics):
  """The upload, its weight and the metrics; zeros, 0 and a norm of NaN where it is not finite."""
  told = tf.stack([metrics[METRICS.index(name)] for name in ("loss", "norm")])
  finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(t)) for t in (*uploaded, told)])
  uploaded = tuple(tf.where(finite, tensor, tf.zeros_like(tensor)) for tensor in uploaded)
  norm = tf.one_hot(METRICS.index("norm"), len(METRICS), on_value=True, off_value=False)
  marked = tf.where(norm, tf.constant(float("nan")), metrics)
  return uploaded, tf.where(finite, metrics[0], 0.0), tf.where(finite, metrics, marked)


def check_optimizer(name: str, optimizer: Any) -> None:
  """Refuses what is no optimizer of TFF's.

  Raises:
    TypeError: It is none.
  """
  if not isinstance(optimizer, tff.learning.optimizers.Optimizer):
    raise TypeError(
      f"{name} must be a tff.learning.optimizers.Optimizer, such as build_sgdm makes, found "
      f"{type(optimizer).__name__}"
    )


def start_from_copies(
  client_work: tff.learning.templates.ClientWorkProcess, copies: Copies
) -> tff.learning.templates.ClientWorkProcess:
  """Client work that starts from a copy of each client's own.

  It takes what `build_copy_distribution` hands out in rounds: the weights and the round's key, from
  which a client draws the copy that its identifier stands for. The bits are those that the server
  would draw; it is a simulation, for a client that has the key can undo its copy.

  Args:
    client_work: Ours, or any of TFF's that takes weights. Where its arguments don't have the
      client's identifier, they become what `clients.with_ids` makes.
    copies: How copies are made.
  """
  weights_type = client_work.next.type_signature.parameter[1].member
  inner_type = client_work.next.type_signature.parameter[2].member
  sent_type = tff.StructType([("weights", weights_type), ("key", types.KEY)])
  id_type = tff.SequenceType(types.CLIENT)
  only_id = inner_type.is_equivalent_to(id_type)
  is_struct = isinstance(inner_type, tff.StructType)
  has_id = is_struct and "client" in tff.structure.name_list(inner_type)
  argument_type = inner_type
  if not only_id and not has_id:
    argument_type = tff.StructType([("client", id_type), ("data", inner_type)])

  @tff.tensorflow.computation(sent_type, id_type)
  def copy_for(sent, client):
    key = keys.fold(sent["key"], client.get_single_element())
    copy = tuple(copies(tuple(sent["weights"].trainable), key))
    return tff.learning.models.ModelWeights(copy, sent["weights"].non_trainable)

  @tff.federated_computation(
    client_work.next.type_signature.parameter[0],
    tff.FederatedType(sent_type, tff.CLIENTS),
    tff.FederatedType(argument_type, tff.CLIENTS),
  )
  def next_round(state, sent, arguments):
    ids = arguments if only_id else arguments["client"]
    received = tff.federated_map(copy_for, (sent, ids))
    data = arguments if only_id or has_id else arguments["data"]
    return client_work.next(state, received, data)

  return tff.learning.templates.ClientWorkProcess(
    client_work.initialize,
    next_round,
    get_hparams_fn=client_work.get_hparams,
    set_hparams_fn=client_work.set_hparams,
  )
