"""Fed-Safe (Algorithm 1) as a `tff.learning` process; the one file that knows all its stages."""

from typing import Any

import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import types
from fedsafe_tff.learning.adaptation import (
  AdaptingFinalizer,
  build_adapting_finalizer,
  build_replacing_finalizer,
)
from fedsafe_tff.learning.client_work import build_client_work, check_optimizer, start_from_copies
from fedsafe_tff.learning.clients import Batches, Clients
from fedsafe_tff.learning.distribution import CopyDistribution, build_copy_distribution
from fedsafe_tff.learning.models import as_functional_model
from fedsafe_tff.training.copies import Copies
from fedsafe_tff.training.gradients import LocalGradient, Plain
from fedsafe_tff.training.schedules import Schedule
from fedsafe_tff.training.upload import Upload

_templates = tff.learning.templates


class FedSafeProcess(_templates.LearningProcess):
  """A `LearningProcess` that also adapts and distributes what it has trained.

  Attributes:
    adapt: `(state -> <state, metrics>)@SERVER`: adapts the state that the last round left. The
      bits, and the metrics, are those of adaptation inside that round, so that several ways of
      adapting can share one training. None where no adaptation was asked for.
    adapt_pass: `<state, carried>@SERVER -> carried@SERVER`: one pass of an adaptation that is
      iterated, see `AdaptingFinalizer.adapt_pass`; None for others.
    distribute: `(state@SERVER, {int32}@CLIENTS) -> weights@CLIENTS`: what each client receives for
      use; a single value where all receive the same.
  """

  def __init__(
    self,
    process: _templates.LearningProcess,
    *,
    distribute: tff.Computation,
    adapt: tff.Computation | None,
    adapt_pass: tff.Computation | None = None,
  ):
    """Extends a process."""
    super().__init__(
      process.initialize,
      process.next,
      process.get_model_weights,
      process.set_model_weights,
      get_hparams_fn=process.get_hparams,
      set_hparams_fn=process.set_hparams,
    )
    self.distribute, self.adapt, self.adapt_pass = distribute, adapt, adapt_pass


def build_fed_safe(
  model_fn: Any,
  *,
  client_optimizer: tff.learning.optimizers.Optimizer | None = None,
  server_optimizer: tff.learning.optimizers.Optimizer | None = None,
  clients: Clients = Batches(),
  gradient: LocalGradient = Plain(),
  gradient_clip: float = 0.0,
  weight_decay: float = 0.0,
  client_learning_rate_fn: Schedule | None = None,
  attack_eps_fn: Schedule | None = None,
  upload: Upload = Upload(),
  model_aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
  adaptation: Any = None,
  adaptation_data: Any = None,
  adapt_when: Schedule | None = None,
  copies: Copies | None = None,
  copies_in_rounds: bool = False,
  downlink: str = "select",
  seed: int = 0,
  noise_seed: int | None = None,
  leave_out_not_finite: bool = False,
  distributor: _templates.DistributionProcess | None = None,
  client_work: _templates.ClientWorkProcess | None = None,
  finalizer: _templates.FinalizerProcess | None = None,
) -> FedSafeProcess:
  """Builds Fed-Safe. With its options left alone it is `build_weighted_fed_avg`, bit for bit.

  Args:
    model_fn: What `learning.models.as_functional_model` takes.
    client_optimizer: Takes the local steps.
    server_optimizer: Takes the aggregate as a gradient: Adam makes FedAdam of it, Yogi FedYogi.
      None is SGD of rate 1 for updates, and lets uploaded weights take the model's place (Eq. 4).
    clients: The form of the clients' arguments: `clients.Batches` or `clients.Shards`.
    gradient: What local steps follow: `Plain` (Eq. 1), `Adversarial` (Eq. 5) or a private one,
      `privacy.dp_sgd.gradient.DpSgd`.
    gradient_clip: L2 norm to which the gradient of every local step is scaled down; 0 leaves it.
    weight_decay: Share of a kernel that is added to its gradient after that, in local steps.
    client_learning_rate_fn: Schedule of the local rate by round; None leaves the optimizer's.
    attack_eps_fn: Schedule of the perturbation size of local adversarial training.
    upload: Clipping and noise of what goes up (Eq. 2, 3).
    model_aggregator: Takes uploads weighted by number of examples; None is their mean (Eq. 4).
    adaptation: How the server adapts the model, such as `training.adaptation.Adaptation`.
    adaptation_data: The server's images and labels, see `learning.adaptation.server_data`.
    adapt_when: Schedule of the rounds that adapt; None leaves it to `adapt`.
    copies: How the copies that clients receive for use differ, such as `training.copies.Noise`.
    copies_in_rounds: Whether clients train on such copies too.
    downlink: "select" or "map", see `build_copy_distribution`.
    seed: Of everything random but the noise.
    noise_seed: Of the noise on uploads and copies; None draws it from the system's entropy where
      there is any, so that nobody can guess and subtract it.
    leave_out_not_finite: Whether the weighted mean is that of the other clients where an upload is
      not finite, see `build_client_work`; without, it makes the global model so too.
    distributor: A stage in the place of ours; it leaves no use for `copies`.
    client_work: A stage in the place of ours; of the local options only `upload.kind` still counts.
    finalizer: A stage in the place of ours, server optimizer and adaptation included.

  Raises:
    TypeError: A model, an optimizer, an aggregator or a stage that is none.
    UserError: Settings that don't go together, or a model that can't be used.
  """
  _check_beside("distributor", distributor, copies=copies)
  _check_beside(
    "client_work",
    client_work,
    client_optimizer=client_optimizer,
    gradient=None if gradient == Plain() else gradient,
    gradient_clip=gradient_clip or None,
    weight_decay=weight_decay or None,
    client_learning_rate_fn=client_learning_rate_fn,
    attack_eps_fn=attack_eps_fn,
    leave_out_not_finite=leave_out_not_finite or None,
    upload=None if upload == Upload(upload.kind) else upload,
  )
  _check_beside(
    "finalizer", finalizer, server_optimizer=server_optimizer, adaptation=adaptation,
    adaptation_data=adaptation_data, adapt_when=adapt_when,
  )
  model = as_functional_model(model_fn)
  weights_type = types.weights_type(model)
  if server_optimizer is not None:
    check_optimizer("server_optimizer", server_optimizer)
  if noise_seed is None:
    noisy = upload.sigma or copies is not None or getattr(gradient, "private", False)
    noise_seed = keys.drawn_seed() if noisy else 0
  if adapt_when is not None and adaptation is None and finalizer is None:
    raise UserError(
      "adapt_when has no effect without an adaptation, such as training.adaptation.Adaptation"
    )
  if copies_in_rounds and copies is None:
    raise UserError("copies_in_rounds needs copies, such as training.copies.Noise(0.01)")

  # Algorithm 1, 12-15: an independently noised copy for every client.
  if distributor is None:
    distributor = build_copy_distribution(
      weights_type,
      copies,
      in_rounds=copies_in_rounds,
      downlink=downlink,
      seed=seed,
      noise_seed=noise_seed,
    )

  # Eq. 1-3, 5: local training, clipping, uplink noise.
  if client_work is None:
    client_work = build_client_work(
      model,
      client_optimizer,
      clients=clients,
      gradient=gradient,
      gradient_clip=gradient_clip,
      weight_decay=weight_decay,
      upload=upload,
      learning_rate_fn=client_learning_rate_fn,
      attack_eps_fn=attack_eps_fn,
      seed=seed,
      noise_seed=noise_seed,
      leave_out_not_finite=leave_out_not_finite,
    )
  if copies_in_rounds:
    client_work = start_from_copies(client_work, copies)

  # Eq. 4: the mean, weighted by number of examples.
  if model_aggregator is None:
    model_aggregator = tff.aggregators.MeanFactory()
  if not isinstance(model_aggregator, tff.aggregators.WeightedAggregationFactory):
    raise TypeError(
      "model_aggregator must be a tff.aggregators.WeightedAggregationFactory, found "
      f"{type(model_aggregator).__name__}: tff.aggregators.as_weighted_aggregator makes one"
    )
  aggregator = model_aggregator.create(weights_type.trainable, types.WEIGHT)

  # Eq. 8-10: the aggregate takes effect, and the server adapts the model.
  if finalizer is None:
    if upload.kind == "weights":
      applied = build_replacing_finalizer(weights_type, server_optimizer)
    else:
      applied = _templates.build_apply_optimizer_finalizer(
        server_optimizer or tff.learning.optimizers.build_sgdm(1.0), weights_type
      )
    finalizer = build_adapting_finalizer(
      applied, model, adaptation, adaptation_data, when=adapt_when, seed=seed
    )

  process = _templates.compose_learning_process(
    types.initial_weights(model, seed), distributor, client_work, aggregator, finalizer
  )
  return FedSafeProcess(
    clients.compose(process),
    distribute=_build_distribute(process, distributor),
    adapt=_build_adapt(process, finalizer),
    adapt_pass=_build_adapt_pass(process, finalizer),
  )


def _check_beside(stage: str, given: Any, **options: Any) -> None:
  """Refuses options that a stage of the user's own leaves without effect."""
  idle = [name for name, value in options.items() if value is not None]
  if given is not None and idle:
    raise UserError(f"{idle[0]} has no effect beside a {stage} of your own: build it into that")


def _state_type(process: _templates.LearningProcess) -> tff.FederatedType:
  return process.initialize.type_signature.result


def _build_distribute(process, distributor) -> tff.Computation:
  """What clients receive for use; from a distributor of TFF's, what they would train on."""

  @tff.federated_computation(
    _state_type(process), tff.FederatedType(types.CLIENT, tff.CLIENTS)
  )
  def distribute(state, client_ids):
    if isinstance(distributor, CopyDistribution):
      return distributor.distribute(state.distributor, state.global_model_weights, client_ids)
    return distributor.next(state.distributor, state.global_model_weights).result

  return distribute


def _build_adapt(process, finalizer) -> tff.Computation | None:
  if not isinstance(finalizer, AdaptingFinalizer) or finalizer.adapt is None:
    return None

  @tff.federated_computation(_state_type(process))
  def adapt(state):
    weights, metrics = finalizer.adapt(state.finalizer, state.global_model_weights)
    new_state = tff.federated_zip(
      _templates.LearningAlgorithmState(
        weights, state.distributor, state.client_work, state.aggregator, state.finalizer
      )
    )
    return _templates.LearningProcessOutput(new_state, metrics)

  return adapt


def _build_adapt_pass(process, finalizer) -> tff.Computation | None:
  if not isinstance(finalizer, AdaptingFinalizer) or finalizer.adapt_pass is None:
    return None

  @tff.federated_computation(
    _state_type(process), finalizer.adapt_pass.type_signature.parameter[1]
  )
  def adapt_pass(state, carried):
    return finalizer.adapt_pass(state.finalizer, carried)

  return adapt_pass
