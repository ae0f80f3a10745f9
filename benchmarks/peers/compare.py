"""One FedAvg round, against Flower's simulation and pfl-research's TensorFlow simulator.

python -m benchmarks.peers {--data_dir=FOLDER | --synthetic} --environments=FOLDER [--flag ...]

FOLDER is what `benchmarks/peers/make_environments.sh` makes. Every contender is a process of its
own on all cores, waits for its turn and times its round itself; images are in memory before. All
start from the same weights and take the same batches, in the same order and without dropout, so
that they must end with the same weights: *apart* is the distance from those of ours in the first
runtime, of the same dtype, over the length of the round's step. *Flower, quickstart* makes and
compiles its Keras model in every round as Flower's TensorFlow example does, *model kept* once per
actor; N CPU are what Ray grants a client, which decides how many run side by side.
"""

import contextlib
import pathlib
import re
import sys
import tempfile
from collections.abc import Sequence

from benchmarks import options

_DTYPES = ("float32", "bfloat16")
_PEERS = ("flower", "pfl")


def peers(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("peers", __doc__)
  parser.add_argument("--clients", type=options.at_least(1), default=3)
  parser.add_argument("--images_per_client", type=options.at_least(1), default=950)
  parser.add_argument("--environments", default="", help="folder of the peers' environments")
  parser.add_argument("--peers", type=options.names(*_PEERS), default=_PEERS)
  parser.add_argument(
    "--flower_cpus", type=options.numbers, default=(1,), help="CPUs of a client in Ray"
  )
  parser.add_argument(
    "--runtimes",
    type=options.names("native", "device"),
    default=("native", "device"),
    help="of ours (default: native,device)",
  )
  parser.add_argument("--dtypes", type=options.names(*_DTYPES), default=_DTYPES)
  parser.add_argument("--cpu_devices", type=options.at_least(1), default=2)
  values = parser.parse_args(arguments)
  from benchmarks import measure, program, rounds
  from benchmarks import workload as workload_lib

  work = workload_lib.load(values, values.clients * values.images_per_client)
  clients = work.clients(values.clients, values.images_per_client)
  commands, notes = _commands(values)
  versions = {
    f"versions for {peer}": _pins(peer) for peer in values.peers if _python(values, peer)
  }
  contenders = {}
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for index, (name, command) in enumerate(commands.items()):
      task = program.write_task(
        folder / str(index),
        work,
        clients,
        dtype=rounds.dtype_of(name),
        dropout=0.0,
        shuffle=False,
      )
      workload_lib.say(f"starting {name}")
      contenders[name] = stack.enter_context(program.Program(command, task))
    seconds = measure.interleaved(contenders, values.repeats, warmup=2, log=workload_lib.say)
    weights = {name: contender.weights for name, contender in contenders.items()}
  first = {dtype: f"ours, {values.runtimes[0]}, {dtype}" for dtype in values.dtypes}
  return rounds.publish(
    "peers",
    __doc__.split("\n\n", 2)[2],
    arguments,
    values,
    work,
    seconds,
    weights,
    references=list(first.values()),
    same=first,
    notes=notes,
    facts=versions | {"devices": "CPU"},
  )


def _python(values, peer: str) -> str | None:
  """The Python of a peer's environment."""
  if not values.environments:
    return None
  # Not resolved: the link's place is what makes it the environment's Python.
  path = (pathlib.Path(values.environments).expanduser() / peer / "bin" / "python").absolute()
  return str(path) if path.is_file() else None


def _pins(peer: str) -> str:
  """What matters of a peer's requirements."""
  text = (pathlib.Path(__file__).parent / f"requirements-{peer}.txt").read_text()
  found = re.findall(r"^(flwr|pfl|ray|tensorflow|keras|numpy)==(\S+)", text, re.MULTILINE)
  return ", ".join(f"{name} {version}" for name, version in found)


def _commands(values) -> tuple[dict[str, list[str]], list[str]]:
  """The contenders' commands, and what must be said of those that are not there."""
  ours = [sys.executable, "-m", "benchmarks.our_program", f"--cpu_devices={values.cpu_devices}"]
  commands = {
    f"ours, {runtime}, {dtype}": [*ours, f"--runtime={runtime}"]
    for dtype in values.dtypes
    for runtime in values.runtimes
  }
  notes = []
  for peer in values.peers:
    python = _python(values, peer)
    if python is None:
      notes.append(
        f"{peer} was not measured: no environment; `sh benchmarks/peers/make_environments.sh "
        "FOLDER` makes it for --environments=FOLDER."
      )
      continue
    command = [python, "-m", f"benchmarks.peers.{peer}_rounds"]
    if peer == "pfl":
      commands["pfl-research, float32"] = command
      continue
    for cpus in values.flower_cpus:
      granted = [*command, f"--cpus_per_client={cpus}"]
      commands[f"Flower, quickstart, {cpus} CPU, float32"] = granted
      commands[f"Flower, model kept, {cpus} CPU, float32"] = [*granted, "--keep_model"]
  return commands, notes
