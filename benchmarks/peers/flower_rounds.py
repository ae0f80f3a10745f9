"""Rounds of Flower's simulation (Ray backend, TensorFlow client), see `benchmarks.program`.

python -m benchmarks.peers.flower_rounds [--cpus_per_client=1] [--keep_model] TASK

It runs in Flower's own environment. A round is timed at the server, from the choice of the clients
to the new weights, without the evaluation that Flower would make.
"""

import argparse
import os
import time

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # it would send reports
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from flwr import client, common, server, simulation  # noqa: E402
from flwr.server import strategy  # noqa: E402

from benchmarks.peers.serve import Server, Task  # noqa: E402

_MANY = 10**6


class _End(Exception):
  """No more rounds are asked for."""


class _TimedFedAvg(strategy.FedAvg):
  """Flower's FedAvg, every round from the initial weights and when it is asked for."""

  def __init__(self, task: Task, answers: Server, clients: int):
    super().__init__(
      fraction_evaluate=0.0,
      min_fit_clients=clients,
      min_available_clients=clients,
      accept_failures=False,
      initial_parameters=common.ndarrays_to_parameters(task.start()),
    )
    self._start = task.start()
    self._answers = answers
    self._requests = answers.requests()
    self._begun = 0.0

  def configure_fit(self, server_round, parameters, client_manager):
    if next(self._requests, _End) is _End:
      raise _End
    self._begun = time.perf_counter()
    parameters = common.ndarrays_to_parameters(self._start)
    return super().configure_fit(server_round, parameters, client_manager)

  def aggregate_fit(self, server_round, results, failures):
    if failures:
      raise RuntimeError(f"clients failed: {failures}")
    parameters, metrics = super().aggregate_fit(server_round, results, failures)
    weights = common.parameters_to_ndarrays(parameters)
    self._answers.answer(time.perf_counter() - self._begun, weights)
    return parameters, metrics


def _client_app(folder: str, keep_model: bool):
  def client_fn(context):
    # Imported in the actor of Ray: what a pickled function refers to is made anew in every call.
    from benchmarks.peers import flower_client

    return flower_client.make(folder, int(context.node_config["partition-id"]), keep_model)

  return client.ClientApp(client_fn=client_fn)


def main() -> None:
  """Runs rounds as they are asked for."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--cpus_per_client", type=int, default=1)
  parser.add_argument("--keep_model", action="store_true")
  parser.add_argument("task")
  values = parser.parse_args()
  task = Task.read(values.task)
  answers = Server(task)
  clients = task.settings["clients"]

  def server_fn(context):
    del context
    return server.ServerAppComponents(
      strategy=_TimedFedAvg(task, answers, clients), config=server.ServerConfig(num_rounds=_MANY)
    )

  try:
    simulation.run_simulation(
      server_app=server.ServerApp(server_fn=server_fn),
      client_app=_client_app(values.task, values.keep_model),
      num_supernodes=clients,
      backend_config={
        "client_resources": {"num_cpus": values.cpus_per_client, "num_gpus": 0.0},
        # local: else it would join whatever cluster runs on this machine.
        "init_args": {"address": "local", "include_dashboard": False},
      },
    )
  except (_End, RuntimeError):
    pass


if __name__ == "__main__":
  main()
