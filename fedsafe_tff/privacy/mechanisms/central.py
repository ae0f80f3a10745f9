"""Noise at the server, by TFF's aggregators: a whole client, against who sees the global models.

TFF divides the noised sum by the number of clients; all count alike.
"""

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import Release
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism, PrivacySettings
from fedsafe_tff.privacy.solving import calibrate

_SEES = "the server sees every upload as it is"
_UNSEEDED = "TFF draws this noise from an unseeded generator: the run can't be repeated bit for bit"


def _solve(settings: PrivacySettings, releases) -> float:
  """The noise multiplier that is given or that meets the target."""
  if settings.target_epsilon is None:
    return settings.noise_multiplier
  return calibrate(
    lambda z: releases(z, settings.rounds), settings.target_epsilon, settings.delta
  )


def central(settings: PrivacySettings) -> Mechanism:
  """DP-FedAvg with fixed or adaptive clipping (McMahan et al., arXiv:1710.06963).

  All clients take part in every round: no sampling is counted on.
  """

  def releases(z: float, rounds: int) -> list[Release]:
    return [Release(z, rounds)]  # of adaptive clipping too: z is TFF's total

  z, clients = _solve(settings, releases), settings.clients
  if settings.adaptive_clip and z >= 0.1 * clients:
    raise UserError(
      f"adaptive clipping can't have noise multiplier {z:.4g} with {clients} clients a round: it "
      f"must be below a tenth of them ({0.1 * clients:g}); fix the clipping norm"
    )

  def make_aggregator(specs):
    import tensorflow_federated as tff

    del specs
    factory = tff.aggregators.DifferentiallyPrivateFactory
    if settings.adaptive_clip:
      return factory.gaussian_adaptive(z, clients, initial_l2_norm_clip=settings.clip_norm)
    return factory.gaussian_fixed(z, clients, settings.clip_norm)

  return Mechanism(
    name="central",
    level="client",
    adjacency="add_or_remove_one",
    releases=lambda rounds: releases(z, rounds),
    delta=settings.delta,
    observer="clients",
    noise_multiplier=z,
    units=len(settings.client_images),
    clip="adaptive" if settings.adaptive_clip else "fixed",
    make_aggregator=make_aggregator,
    warnings=(_SEES, _UNSEEDED),
  )


def tree(settings: PrivacySettings) -> Mechanism:
  """DP-FTRL: noise of a binary tree over the rounds (Kairouz et al., arXiv:2103.00039).

  It needs no sampling. Each client's rounds are counted as often as they come: with all clients in
  every round its nodes add up to far more than noise of every round's own; it pays where clients
  come rarely. To be followed by plain SGD at the server.
  """
  if settings.adaptive_clip:
    raise UserError(
      "adaptive clipping restarts TFF's trees in a way that is not accounted for here: fix the "
      "clipping norm"
    )
  apart = -(-len(settings.client_images) // settings.clients)  # a client comes every so many rounds

  def releases(z: float, rounds: int) -> list[Release]:
    from tensorflow_privacy import compute_zcdp_single_tree

    if rounds == 0 or z == 0:
      return [Release(z, rounds)]
    rho = compute_zcdp_single_tree(z, rounds, -(-rounds // apart), apart - 1)
    return [Release((2.0 * rho) ** -0.5, 1, gaussian=False)]

  z = _solve(settings, releases)

  def make_aggregator(specs):
    import tensorflow_federated as tff

    factory = tff.aggregators.DifferentiallyPrivateFactory
    return factory.tree_aggregation(
      z, settings.clients, settings.clip_norm, specs, noise_seed=settings.seed
    )

  return Mechanism(
    name="tree",
    level="client",
    adjacency="add_or_remove_one",
    releases=lambda rounds: releases(z, rounds),
    delta=settings.delta,
    observer="clients",
    noise_multiplier=z,
    units=len(settings.client_images),
    make_aggregator=make_aggregator,
    warnings=(
      _SEES,
      "a client who leaves counts as one whose update is zero",
      "each client takes part in every round"
      if apart == 1
      else f"each client takes part once in {apart} rounds at most",
    ),
  )


def distributed(settings: PrivacySettings) -> Mechanism:
  """Discrete noise at each client, added up under secure aggregation, by TFF.

  Distributed discrete Gaussian (arXiv:2102.06387) or Skellam (arXiv:2110.04995). TFF gives no
  accounting of rounding, modular wrapping and discrete noise, and `dp-accounting` has none for a
  vector either; so no epsilon is stated. The secure sum is simulated.
  """
  names = {"skellam": "distributed_skellam", "gaussian": "distributed_dgauss"}
  if settings.discrete not in names:
    raise UserError(f"discrete noise {settings.discrete!r} is unknown: choose skellam or gaussian")
  z = _solve(settings, lambda z, rounds: [Release(z, rounds)])

  def make_aggregator(specs):
    import tensorflow_federated as tff

    # Not exported; `tff.learning.ddp_secure_aggregator` is, but moves its clipping norm.
    from tensorflow_federated.python.aggregators import distributed_dp

    del specs
    summed = distributed_dp.DistributedDpSumFactory(
      noise_multiplier=z,
      expected_clients_per_round=settings.clients,
      bits=20,
      l2_clip=settings.clip_norm,
      mechanism=names[settings.discrete],
    )
    return tff.aggregators.UnweightedMeanFactory(value_sum_factory=summed)

  return Mechanism(
    name="distributed",
    level="client",
    adjacency="add_or_remove_one",
    releases=lambda rounds: [Release(z, rounds)],
    delta=settings.delta,
    observer="server",
    noise_multiplier=z,
    units=len(settings.client_images),
    make_aggregator=make_aggregator,
    accounted=False,
    warnings=(
      "rounding, wrapping and discrete noise are not accounted for: no epsilon follows, though its "
      "noise is that of a central mechanism of the same multiplier",
      "the secure sum is a simulation of its arithmetic and not cryptography",
      _UNSEEDED,
    ),
  )
