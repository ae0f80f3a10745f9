"""The Ray runtime: clients' work on the machines of a Ray cluster, server parts in this process.

The cluster is one that runs already, or is started on this machine and ended with the runtime. An
actor does the work of one client at a time, with the CPUs and GPUs asked for. One that dies, or
whose machine does, costs its client another try on another actor; so does one that hangs, which is
told by the signs of life that it no longer gives, and killed.
"""

import collections
import contextlib
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import gpus, ray_cluster, values
from fedsafe_tff.runtime.failures import ComputationFailed, one_line
from fedsafe_tff.runtime.in_process import ClientTask, InProcessRuntime
from fedsafe_tff.runtime.ray_actor import ClientActor
from fedsafe_tff.runtime.silence import SILENT_SECONDS, Silence

_TRIES = 3
_START_SECONDS = 180.0
_POLL_SECONDS = 1.0
# Clients per actor that run, wait to run or wait to be added up.
_PER_ACTOR = 2
_ALIVE = "alive"  # the actor's threads that give signs of life


class ActorsLost(UserError, RuntimeError):
  """A client's work was lost with its actor more often than it is tried again."""


class RayRuntime(InProcessRuntime):
  """Runs TFF computations on a Ray cluster; see `InProcessRuntime`."""

  def __init__(
    self,
    *,
    address: str = "",
    cpus_per_client: int = 1,
    gpus_per_client: float = 0.0,
    silent_seconds: float = SILENT_SECONDS,
    log: Callable[[str], None] = lambda text: None,
  ):
    """Starts nothing yet.

    Args:
      address: The cluster, as `ray.init` takes it; empty starts one on this machine.
      cpus_per_client: CPUs of an actor, and its threads of TensorFlow.
      gpus_per_client: GPUs of an actor; below 1, actors share one.
      silent_seconds: After how long without a sign of life a busy actor counts as hung.
      log: Is told about lost actors.
    """
    super().__init__(log)
    self._ray = ray_cluster.import_ray()
    self._address = address
    self._cpus = cpus_per_client
    self._gpus = gpus_per_client
    self._ours = False  # whether we connected, and so disconnect
    self._idle: list[Any] = []
    self._starting: dict[Any, tuple[Any, float]] = {}  # by the reference of its first answer
    self._busy: dict[Any, tuple[int, Any]] = {}  # client and actor by the result's reference
    self._silent_seconds = silent_seconds
    # Of busy actors, by the result's reference: the question under way, and how long it has been.
    self._asked: dict[Any, tuple[Any, Silence]] = {}
    self._hung: set[Any] = set()  # references of results that won't come
    self._failed_starts = 0
    self._parts: dict[int, Any] = {}

  @property
  def devices(self) -> list[str]:
    """The machines of the cluster."""
    return [
      f"{node['NodeManagerHostname']}: {node['Resources'].get('CPU', 0):g} CPU, "
      f"{node['Resources'].get('GPU', 0):g} GPU"
      for node in self._nodes()
    ]

  def _nodes(self) -> list[dict[str, Any]]:
    return [node for node in self._ray.nodes() if node["Alive"]]

  def _start(self) -> None:
    if not self._ray.is_initialized():
      ray_cluster.connect(self._ray, self._address, self._log)
      self._ours = True
    self._check_resources()
    tf.config.set_soft_device_placement(True)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    self._server_device = devices[0].name
    self._actor_class = self._ray.remote(concurrency_groups={_ALIVE: 1})(ClientActor).options(
      num_cpus=self._cpus,
      num_gpus=self._gpus,
      max_restarts=0,
      max_task_retries=0,
      scheduling_strategy="SPREAD",
    )
    self._log(f"clients run on a Ray cluster of {'; '.join(self.devices)}")

  def _check_resources(self) -> None:
    if not self._slots():
      raise UserError(
        f"no machine of the Ray cluster ({'; '.join(self.devices)}) has {self._cpus} CPU and "
        f"{self._gpus:g} GPU for a client: lower --ray_cpus_per_client or --ray_gpus_per_client"
      )
    idle = sum(node["Resources"].get("GPU", 0) for node in self._nodes())
    if idle and not self._gpus:
      raise UserError(
        f"the Ray cluster has {idle:g} GPU that would lie idle: set --ray_gpus_per_client, or "
        "start Ray with --num-gpus=0"
      )
    if not self._gpus and not self._address:
      gpus.check_no_idle_gpu()

  def _slots(self) -> int:
    """How many actors the cluster has room for, were it ours alone."""
    total = 0
    for node in self._nodes():
      has = node["Resources"]
      room = [int(has.get("CPU", 0) // self._cpus)]
      if self._gpus:
        room.append(int(has.get("GPU", 0) / self._gpus + 1e-9))
      total += min(room)
    return total

  def _stop(self) -> None:
    if not self._ray.is_initialized():
      return
    actors = [actor for actor, _ in self._starting.values()]
    for actor in [*self._idle, *actors, *(actor for _, actor in self._busy.values())]:
      self._end(actor)
    self._idle, self._starting, self._busy, self._asked = [], {}, {}, {}
    self._parts.clear()
    if self._ours:
      self._ray.shutdown()
      self._ours = False

  def _end(self, actor: Any) -> None:
    with contextlib.suppress(Exception):
      self._ray.kill(actor)

  def _client_results(self, task: ClientTask) -> Iterator[Sequence[Any]]:
    key = id(task.part)
    if key not in self._parts:
      self._parts[key] = self._ray.put(task.part)
    clients = [_arrays(client) for client in task.clients]
    received = self._ray.put(_arrays(task.received))
    waiting = list(range(len(clients)))  # a heap
    done: dict[int, Sequence[Any]] = {}
    losses = collections.Counter()
    added = 0
    self._failed_starts = 0
    try:
      while added < len(clients):
        if added in done:
          yield done.pop(added)
          added += 1
          continue
        self._start_actors(len(waiting))
        window = added + _PER_ACTOR * (len(self._idle) + len(self._busy))
        while self._idle and waiting and waiting[0] < window:
          index, actor = heapq.heappop(waiting), self._idle.pop()
          reference = actor.run.remote(key, self._parts[key], clients[index], received)
          self._busy[reference] = (index, actor)
        for reference in self._finished():
          index, actor = self._busy.pop(reference)
          self._asked.pop(reference, None)
          try:
            trouble, result = self._ray.get(reference)
          except self._ray.exceptions.RayError as error:
            losses[index] += 1
            how = "hung" if reference in self._hung else "died"
            what = f"{task.names[index]}, stage {task.part.name}"
            self._lost(actor, how, what, losses[index], error)
            heapq.heappush(waiting, index)
            continue
          if reference not in self._hung:  # else it was killed as it answered
            self._idle.append(actor)
          if trouble:
            raise ComputationFailed(
              f"{task.names[index]}, stage {task.part.name}: {one_line(trouble)}"
            )
          done[index] = result
    finally:
      for _, actor in self._busy.values():  # after an error they have work that nobody wants
        self._end(actor)
      self._busy, self._asked, self._hung = {}, {}, set()

  def _start_actors(self, clients: int) -> None:
    """Asks for as many actors as there is room and work for."""
    if self._idle:
      return
    running = len(self._starting) + len(self._busy)
    room = self._slots() - running
    for _ in range(min(room, clients - len(self._starting))):
      actor = self._actor_class.remote(self._cpus, self._gpus > 0)
      self._starting[actor.where.remote()] = (actor, time.monotonic())

  def _finished(self) -> list[Any]:
    """Waits a moment; returns finished work, and takes in the actors that have started."""
    references = [*self._busy, *self._starting]
    if not references:
      raise ActorsLost(
        f"the Ray cluster has no room for an actor with {self._cpus} CPU and {self._gpus:g} GPU"
      )
    ready, _ = self._ray.wait(references, timeout=_POLL_SECONDS)
    self._end_hung(ready)
    finished = []
    for reference in ready:
      if reference in self._busy:
        finished.append(reference)
      else:
        self._welcome(reference)
    started = [begun for _, begun in self._starting.values()]
    if not self._busy and not self._idle and not finished and started:
      if time.monotonic() - max(started) > _START_SECONDS:
        raise ActorsLost(
          f"no actor of the Ray cluster started in {_START_SECONDS:g} s: is it busy with other "
          f"work? `ray status` tells; each needs {self._cpus} CPU and {self._gpus:g} GPU"
        )
    return finished

  def _end_hung(self, ready: Sequence[Any]) -> None:
    """Asks busy actors for signs of life; those that have been silent too long are killed.

    Those whose work is `ready` have answered.

    Their results' references then fail as those of dead actors do.
    """
    for reference, (_, actor) in self._busy.items():
      if reference in self._hung or reference in ready:
        continue
      question, silence = self._asked.get(reference, (None, Silence(self._silent_seconds)))
      if question is not None and self._ray.wait([question], timeout=0)[0]:
        silence.heard()
        question = None
      if question is None:
        question = actor.sign_of_life.options(concurrency_group=_ALIVE).remote()
      self._asked[reference] = (question, silence)
      if silence.too_long():
        self._hung.add(reference)
        self._end(actor)

  def _welcome(self, reference: Any) -> None:
    actor, _ = self._starting.pop(reference)
    try:
      where = self._ray.get(reference)
    except self._ray.exceptions.RayError as error:
      self._end(actor)
      self._failed_starts += 1
      if self._failed_starts > _TRIES:
        raise ActorsLost(
          f"Ray actors don't start ({one_line(error)[:300]}): is this package, with its "
          "requirements, installed on every machine of the cluster?"
        ) from error
      return
    if where is None:
      self._end(actor)
      raise UserError(
        "an actor got a GPU from Ray, but TensorFlow sees none there: "
        "pip install --no-deps --require-hashes -r requirements-gpu.txt on every machine"
      )
    self._idle.append(actor)

  def _lost(self, actor: Any, how: str, what: str, losses: int, error: Exception) -> None:
    self._end(actor)
    said = one_line(error).partition(". ")[0][:200]
    if how == "hung":
      said = f"no sign of life for {self._silent_seconds:g} s, killed"
    if losses > _TRIES:
      raise ActorsLost(
        f"{what}: lost with its actor {losses} times ({said}): is memory short on the cluster?"
      ) from error
    self._log(f"{what}: its Ray actor {how} ({said}): trying on another one")


def _arrays(flat: Sequence[Any]) -> list[Any]:
  if any(isinstance(leaf, tf.Tensor) and leaf.dtype == tf.variant for leaf in flat):
    raise UserError("--runtime=ray can't ship data sets: pass ids, or use --runtime=device")
  return [values.to_numpy(leaf) for leaf in flat]
