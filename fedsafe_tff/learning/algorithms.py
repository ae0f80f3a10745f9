"""TFF's own algorithms, called alike: (model, clients' optimizer, server's, what some need)."""

from collections.abc import Callable
from typing import Any

import tensorflow_federated as tff

from fedsafe_tff.learning.proximal import TowardsStart

Model = tff.learning.models.FunctionalModel
Optimizer = tff.learning.optimizers.Optimizer
Process = tff.learning.templates.LearningProcess


def fed_avg(model: Model, optimizer: Optimizer, server: Optimizer) -> Process:
  """FedAvg, weighted by examples."""
  return tff.learning.algorithms.build_weighted_fed_avg(model, optimizer, server)


def fed_prox(
  model: Model, optimizer: Optimizer, server: Optimizer, prox_mu: float
) -> Process:
  """FedProx with a proximal term of strength `prox_mu`, weighted by examples."""
  if prox_mu > 0:
    optimizer = TowardsStart(optimizer, prox_mu)
  return tff.learning.algorithms.build_weighted_fed_prox(model, prox_mu, optimizer, server)


def mime_lite(model: Model, optimizer: Optimizer, server: Optimizer) -> Process:
  """Mime Lite, weighted by examples."""
  return tff.learning.algorithms.build_weighted_mime_lite(model, optimizer, server)


def dp_fed_avg(
  model: Model, optimizer: Optimizer, server: Optimizer, dp: Callable[[], Any]
) -> Process:
  """FedAvg that counts every client alike, with the aggregator that `dp` makes."""
  return tff.learning.algorithms.build_unweighted_fed_avg(
    model, optimizer, server, model_aggregator=dp()
  )
