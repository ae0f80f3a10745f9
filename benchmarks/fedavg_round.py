"""One FedAvg round, against a bare tf.function loop that does the same steps.

python -m benchmarks.fedavg_round {--data_dir=FOLDER | --synthetic} [--flag=value ...]

All start from the same weights; order, batches and dropout masks are the same. *apart* is the
distance between a contender's weights after the round and those of the bare loop of its dtype,
over the length of the round's step. Exit code 1 if they are further apart than rounding explains.
A bare loop gets oneDNN's gradient of max-pooling or TensorFlow's slower one by chance, anew in
every process; with its gradient apart it always gets the fast one, as ours does, see
`fedsafe_tff/apart.py`. --ways adds what was tried to be faster: the bare loop's gradient compiled
by XLA, and the device runtime with one thread for each device, so that clients share none.
"""

import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from benchmarks import measure, options
from fedsafe_tff.commands import main

_DTYPES = ("float32", "bfloat16")
_BARE = "bare loop, {}"
_APART = "bare loop with its gradient apart, {}"
_XLA = "bare loop in XLA, {}"
_XLA_NOTE = "XLA draws other numbers from a key, and so other dropout masks: it need not agree."


def fedavg_round(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("fedavg_round", __doc__)
  parser.add_argument("--clients", type=options.at_least(1), default=3)
  parser.add_argument("--images_per_client", type=options.at_least(1), default=950)
  parser.add_argument(
    "--runtimes",
    type=options.names("native", "device", "ray"),
    default=("native", "device"),
    help="comma-separated, out of native, device, ray (default: native,device)",
  )
  parser.add_argument("--dtypes", type=options.names(*_DTYPES), default=_DTYPES)
  parser.add_argument(
    "--cpu_devices",
    type=options.numbers,
    default=(2, 1),
    help="numbers of CPU devices of the device runtime; all but the first run in processes of "
    "their own (default: 2,1)",
  )
  parser.add_argument(
    "--max_clients",
    type=options.numbers,
    default=(),
    help="numbers of clients at a time to which the native runtime is held, beside no limit",
  )
  parser.add_argument("--ways", action="store_true", help="more contenders, see above")
  values = parser.parse_args(arguments)
  # Logical devices must be set before TensorFlow computes anything.
  from benchmarks import ours

  devices = ours.split_cpu(values.cpu_devices[0])
  from benchmarks import workload as workload_lib

  work = workload_lib.load(values, values.clients * values.images_per_client)
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    contenders = _contenders(stack, folder, values, work, devices)
    seconds = measure.interleaved(
      contenders, values.repeats, warmup=2, log=workload_lib.say
    )
    weights = {name: contender.weights for name, contender in contenders.items()}
  from benchmarks import rounds

  return rounds.publish(
    "fedavg_round",
    __doc__.split("\n\n", 2)[2],
    arguments,
    values,
    work,
    seconds,
    weights,
    references=[_BARE.format(values.dtypes[0]), _APART.format(values.dtypes[0])],
    same={dtype: _BARE.format(dtype) for dtype in values.dtypes},
    notes=[_XLA_NOTE] if values.ways else [],
    unlike=[_XLA.format(dtype) for dtype in values.dtypes],
  )


def _contenders(stack, folder, values, work, devices) -> dict:
  from benchmarks import bare, ours, program

  clients = work.clients(values.clients, values.images_per_client)
  store = work.store(clients)
  runtimes = {}
  for name in values.runtimes:
    label = f"device, {devices} devices" if name == "device" else name
    runtimes[label] = stack.enter_context(ours.open_runtime(name, folder))
    if name == "native":
      for limit in values.max_clients:
        limited = ours.open_runtime(name, folder, max_clients=limit)
        runtimes[f"native, {limit} at a time"] = stack.enter_context(limited)
  found = {}
  for dtype in values.dtypes:
    model = work.model(dtype)
    found[_BARE.format(dtype)] = bare.BareRound(model, clients, batch_size=work.batch_size)
    found[_APART.format(dtype)] = bare.BareRound(
      model, clients, batch_size=work.batch_size, apart=True
    )
    for label, runtime in runtimes.items():
      found[f"{label}, {dtype}"] = ours.OurRound(
        runtime, model, store, values.clients, batch_size=work.batch_size
      )
    commands = {}
    if "device" in values.runtimes:
      commands |= {
        f"{count} devices": [f"--cpu_devices={count}"] for count in values.cpu_devices[1:]
      }
    if values.ways:
      found[_XLA.format(dtype)] = bare.BareRound(
        model, clients, batch_size=work.batch_size, xla=True
      )
      commands[f"{devices} devices of 1 thread"] = [f"--cpu_devices={devices}", "--threads=1"]
    for index, (label, flags) in enumerate(commands.items()):
      task = program.write_task(folder / f"{dtype}-{index}", work, clients, dtype=dtype)
      command = [sys.executable, "-m", "benchmarks.our_program", *flags]
      found[f"device, {label}, {dtype}"] = stack.enter_context(program.Program(command, task))
  return found


if __name__ == "__main__":
  main.run(fedavg_round)
