"""What the server does with the aggregate, as TFF's template: apply it, then adapt (Eq. 8-10)."""

import collections
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training import iterated
from fedsafe_tff.training.adaptation import METRICS, Adaptation
from fedsafe_tff.training.iterated import PASSES
from fedsafe_tff.training.schedules import Schedule
from fedsafe_tff.training.server_data import server_data

# (model, weights, images, labels, key) -> weights and metrics, as `training.adaptation.Adaptation`;
# one with `table_rows` above 0 also gives a table of so many rows of `training.iterated.PASSES`.
Adapt = Callable[..., tuple[Weights, tf.Tensor] | tuple[Weights, tf.Tensor, tf.Tensor]]


class AdaptingFinalizer(tff.learning.templates.FinalizerProcess):
  """A `FinalizerProcess` that can also adapt the weights that a round left."""

  def __init__(
    self,
    initialize_fn: tff.Computation,
    next_fn: tff.Computation,
    adapt_fn: tff.Computation | None,
    adapt_pass_fn: tff.Computation | None = None,
    **hparams_fns: tff.Computation,
  ):
    """See `tff.learning.templates.FinalizerProcess`.

    Args:
      initialize_fn: -> state@SERVER.
      next_fn: `<state, weights, aggregate>@SERVER -> weights@SERVER` and measurements.
      adapt_fn: `<state, weights>@SERVER -> <weights, measurements>@SERVER`; None where there is
        nothing to adapt with.
      adapt_pass_fn: `<state, carried>@SERVER -> carried@SERVER`; None where nothing is iterated.
      **hparams_fns: `get_hparams_fn` and `set_hparams_fn`.
    """
    super().__init__(initialize_fn, next_fn, **hparams_fns)
    self._adapt_fn, self._adapt_pass_fn = adapt_fn, adapt_pass_fn

  @property
  def adapt(self) -> tff.Computation | None:
    """`<state, weights>@SERVER -> <weights, measurements>@SERVER`, or None.

    The bits are those of adaptation inside the round that left the state.
    """
    return self._adapt_fn

  @property
  def adapt_pass(self) -> tff.Computation | None:
    """`<state, carried>@SERVER -> carried@SERVER`: one pass of an iterated adaptation, or None.

    Begun with the adaptation's `begin` and repeated until `training.iterated.is_over`, it gives the
    bits of `adapt`, and can be stopped between passes.
    """
    return self._adapt_pass_fn


def build_adapting_finalizer(
  finalizer: tff.learning.templates.FinalizerProcess,
  model: FunctionalModel,
  adaptation: Adapt | None = None,
  data: Any = None,
  *,
  when: Schedule | None = None,
  seed: int = 0,
) -> AdaptingFinalizer:
  """Adapts what another finalizer has made of a round.

  The state holds the other's, the round, the server's key and whether the next round adapts. That
  is its hyperparameter `adapt`, beside the other's; `when` sets it anew after every round.

  Args:
    finalizer: Makes new weights of the old ones and the aggregate.
    model: The model.
    adaptation: How weights are adapted; None never does, and keeps the same state.
    data: The server's images and labels: arrays, a `tf.data.Dataset`, or a function that makes
      either inside the computation; see `training.server_data`.
    when: Schedule of the rounds that adapt; None adapts in none of itself.
    seed: Of order, dropout and random starts.

  Raises:
    UserError: Adaptation without data, or data that don't fit the model.
  """
  if (adaptation is None) != (data is None):
    lacking = "data: give the server's images and labels" if data is None else "a way to adapt"
    raise UserError(f"adaptation at the server lacks {lacking}")
  read = None if adaptation is None else server_data(data, model)
  weights_type = types.weights_type(model)
  inner_type = finalizer.initialize.type_signature.result.member
  update_type = finalizer.next.type_signature.parameter[2].member

  @tff.tensorflow.computation
  def own_state():
    begins = tf.constant(False) if when is None else tf.cast(when(tf.constant(0)), tf.bool)
    return collections.OrderedDict(
      round=tf.constant(0), key=types.stream(seed, keys.SERVER_STREAM), adapt=begins
    )

  @tff.federated_computation
  def initialize():
    own = tff.federated_eval(own_state, tff.SERVER)
    return tff.federated_zip(
      collections.OrderedDict(
        round=own["round"], key=own["key"], adapt=own["adapt"], finalizer=finalizer.initialize()
      )
    )

  state_type = initialize.type_signature.result.member

  table = tf.TensorShape([getattr(adaptation, "table_rows", 0), len(PASSES)])

  def adapted(weights, key, round_number):
    key = keys.fold(key, keys.ADAPTATION, round_number)
    weights, *told = adaptation(model, tuple(weights), *read(), key)
    return tuple(weights), tuple(told)

  @tff.tensorflow.computation(state_type, weights_type)
  def adapt_if_due(state, weights):
    trainable, told = tuple(weights.trainable), (tf.zeros([len(METRICS)]),)
    if table[0]:
      told += (tf.fill(table, -1.0),)
    if adaptation is not None:
      trainable, told = tf.cond(
        state["adapt"],
        lambda: adapted(trainable, state["key"], state["round"]),
        lambda: (trainable, told),
      )
    return _weights(trainable, weights), _measured(state["adapt"], *told)

  @tff.tensorflow.computation(state_type, inner_type)
  def next_state(state, inner):
    number = state["round"] + 1
    due = state["adapt"] if when is None else tf.cast(when(number), tf.bool)
    return collections.OrderedDict(round=number, key=state["key"], adapt=due, finalizer=inner)

  @tff.federated_computation(
    tff.FederatedType(state_type, tff.SERVER),
    tff.FederatedType(weights_type, tff.SERVER),
    tff.FederatedType(update_type, tff.SERVER),
  )
  def next_round(state, weights, update):
    output = finalizer.next(state["finalizer"], weights, update)
    result, measured = tff.federated_map(adapt_if_due, (state, output.result))
    new_state = tff.federated_map(next_state, (state, output.state))
    return tff.templates.MeasuredProcessOutput(
      new_state,
      result,
      tff.federated_zip(
        collections.OrderedDict(finalizer=output.measurements, adaptation=measured)
      ),
    )

  @tff.tensorflow.computation(state_type)
  def get_hparams(state):
    inner = finalizer.get_hparams(state["finalizer"])
    return collections.OrderedDict(adapt=state["adapt"], finalizer=inner)

  @tff.tensorflow.computation(state_type, get_hparams.type_signature.result)
  def set_hparams(state, hparams):
    return collections.OrderedDict(
      round=state["round"],
      key=state["key"],
      adapt=hparams["adapt"],
      finalizer=finalizer.set_hparams(state["finalizer"], hparams["finalizer"]),
    )

  adapt = adapt_pass = None
  if adaptation is not None:

    @tff.tensorflow.computation(state_type, weights_type)
    def adapt_now(state, weights):
      # The last round's number, of which `state` holds the successor.
      made, told = adapted(weights.trainable, state["key"], state["round"] - 1)
      return _weights(made, weights), _measured(tf.constant(True), *told)

    @tff.federated_computation(
      tff.FederatedType(state_type, tff.SERVER), tff.FederatedType(weights_type, tff.SERVER)
    )
    def adapt(state, weights):
      return tff.federated_map(adapt_now, (state, weights))

  # Of ours alone: another's call may do more than its passes.
  if table[0] and type(adaptation).__call__ is Adaptation.__call__:
    specs = iterated.specs(model.weight_specs(), model.input_shape, table[0])
    carried_type = tff.types.tensorflow_to_type(specs._asdict())

    @tff.tensorflow.computation(state_type, carried_type)
    def pass_now(state, carried):
      key = keys.fold(state["key"], keys.ADAPTATION, state["round"] - 1)
      before = iterated.Carried(**carried)._replace(weights=tuple(carried["weights"]))
      return adaptation.one_pass(model, before, *read(), key)._asdict()

    @tff.federated_computation(
      tff.FederatedType(state_type, tff.SERVER), tff.FederatedType(carried_type, tff.SERVER)
    )
    def adapt_pass(state, carried):
      return tff.federated_map(pass_now, (state, carried))

  return AdaptingFinalizer(
    initialize,
    next_round,
    adapt,
    adapt_pass,
    get_hparams_fn=get_hparams,
    set_hparams_fn=set_hparams,
  )


def _weights(trainable, weights):
  return tff.learning.models.ModelWeights(tuple(trainable), weights.non_trainable)


def _measured(adapted, metrics, passes=None):
  told = collections.OrderedDict(adapted=adapted, metrics=metrics)
  if passes is not None:
    told["passes"] = passes
  return told


def build_replacing_finalizer(
  weights_type: tff.Type, optimizer: tff.learning.optimizers.Optimizer | None = None
) -> tff.learning.templates.FinalizerProcess:
  """For uploads that are weights (Eq. 4): the aggregate takes the global model's place.

  Args:
    weights_type: Type of the weights, `tff.learning.models.ModelWeights`.
    optimizer: Steps towards the aggregate instead, by the difference as its gradient.
  """
  update_type = weights_type.trainable
  inner = None
  if optimizer is not None:
    inner = tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type)

  @tff.tensorflow.computation(weights_type, update_type)
  def replace(weights, aggregate):
    return _weights(aggregate, weights)

  @tff.tensorflow.computation(weights_type, update_type)
  def difference(weights, aggregate):
    return tuple(old - new for old, new in zip(weights.trainable, aggregate))

  @tff.federated_computation
  def initialize():
    return inner.initialize() if inner else tff.federated_value((), tff.SERVER)

  @tff.federated_computation(
    initialize.type_signature.result,
    tff.FederatedType(weights_type, tff.SERVER),
    tff.FederatedType(update_type, tff.SERVER),
  )
  def next_round(state, weights, aggregate):
    if inner:
      return inner.next(state, weights, tff.federated_map(difference, (weights, aggregate)))
    return tff.templates.MeasuredProcessOutput(
      state,
      tff.federated_map(replace, (weights, aggregate)),
      tff.federated_value((), tff.SERVER),
    )

  return tff.learning.templates.FinalizerProcess(
    initialize,
    next_round,
    get_hparams_fn=inner.get_hparams if inner else None,
    set_hparams_fn=inner.set_hparams if inner else None,
  )
