"""Memory and time of a round for few and for many clients, and memory over many rounds.

python -m benchmarks.scale {--data_dir=FOLDER | --synthetic} [--flag=value ...]

Every count of clients has a fresh worker and a fresh computation. *peak* is the most that this
process and TFF's worker hold in memory together during the rounds, *before* what they held ahead of
the first one. Clients have equally many images, so that time should grow in proportion to them.
The second table follows the memory after each of many rounds with one count of clients; the first
tenth, in which allocators and caches fill, is left out of the slope.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main


def scale(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("scale", __doc__)
  parser.add_argument(
    "--clients", type=options.numbers, default=(3, 30, 300, 1000), help="counts, rising"
  )
  parser.add_argument("--images_per_client", type=options.at_least(1), default=20)
  parser.add_argument("--runtime", choices=("native", "device"), default="native")
  parser.add_argument("--compute_dtype", choices=("float32", "bfloat16"), default="float32")
  parser.add_argument("--cpu_devices", type=options.at_least(1), default=2)
  parser.add_argument(
    "--max_clients",
    type=options.at_least(0),
    default=None,
    help="clients at a time in the native runtime; 0: no limit (default: as in a run)",
  )
  parser.add_argument("--slope_rounds", type=options.at_least(0), default=200, help="0: none")
  parser.add_argument("--slope_clients", type=options.at_least(1), default=1000)
  parser.add_argument("--slope_images_per_client", type=options.at_least(1), default=1)
  values = parser.parse_args(arguments)
  from benchmarks import measure, ours
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page, rate
  from fedsafe_tff.runtime.registry import clients_at_once

  if values.max_clients is None:
    values.max_clients = clients_at_once(0)
  devices = ours.split_cpu(values.cpu_devices)
  work = workload_lib.load(values, max(values.clients) * values.images_per_client)
  rows = [_count(work, values, count) for count in sorted(values.clients)]
  slope = [_slope(work, values)] if values.slope_rounds else []
  fp32 = measure.matrix_rate()  # after the rounds: its matrices would count as memory of theirs
  for row in rows:
    row[4] = f"{100 * row[4] / fp32:.0f} %"
  page = Page("scale", __doc__.split("\n\n", 2)[2], arguments)
  limit = values.max_clients or "all"
  page.machine(
    images=work.describe(),
    runtime=f"{values.runtime}, {values.compute_dtype}, "
    + (f"{limit} clients at a time" if values.runtime == "native" else f"{devices} CPU devices"),
    float32_matrix_rate=rate(fp32),
    repeats=f"{values.repeats}; median (least-greatest)",
  )
  page.table(
    [
      "clients",
      "images each",
      "seconds a round",
      "ms per image",
      "share of matrix rate",
      "MiB before",
      "MiB peak",
    ],
    rows,
  )
  if slope:
    page.table(
      ["clients", "images each", "rounds", "MiB after the first tenth", "MiB at the end",
       "KiB a round", "standard error", "seconds a round"],
      slope,
    )  # fmt: skip
  page.publish(values.out)
  return 0


@contextlib.contextmanager
def _round(work, values, clients: int, images: int):
  """A contender, and the process ids to watch."""
  from benchmarks import ours

  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    parts = work.clients(clients, images)
    opened = ours.open_runtime(
      values.runtime, pathlib.Path(folder), max_clients=values.max_clients
    )
    runtime = stack.enter_context(opened)
    store = work.store(parts)
    del parts  # it would count as memory of the round
    contender = ours.OurRound(
      runtime,
      work.model(values.compute_dtype),
      store,
      clients,
      batch_size=work.batch_size,
    )
    pids = [os.getpid()]
    if values.runtime == "native":
      pids.append(runtime.worker_pid)
    yield contender, pids


def _count(work, values, count: int) -> list:
  """A row, with FLOP/s where the share of the matrix rate will stand."""
  from benchmarks import measure, memory
  from benchmarks import workload as workload_lib

  with _round(work, values, count, values.images_per_client) as (contender, pids):
    before = memory.resident(pids)
    with memory.Peak(pids) as peak:
      seconds = measure.interleaved(
        {f"{count} clients": contender}, values.repeats, log=workload_lib.say
      )
  spread = measure.Spread.of(seconds[f"{count} clients"])
  images = count * values.images_per_client
  return [
    str(count),
    str(values.images_per_client),
    spread.text(),
    measure.significant(1000 * spread.median / images),
    images * work.flops.training / spread.median,
    f"{before:.0f}",
    f"{peak.mib:.0f}",
  ]


def _slope(work, values) -> list[str]:
  from benchmarks import measure, memory
  from benchmarks import workload as workload_lib

  held = []
  clients, images = values.slope_clients, values.slope_images_per_client
  with _round(work, values, clients, images) as (contender, pids):

    def once():
      contender()
      held.append(memory.resident(pids))

    name = f"{clients} clients"
    seconds = measure.interleaved(
      {name: once}, values.slope_rounds, warmup=0, log=workload_lib.say
    )
  steady = held[len(held) // 10 :]
  rise, error = memory.slope(steady) if len(steady) > 1 else (float("nan"), float("nan"))
  return [
    str(clients),
    str(images),
    str(len(held)),
    f"{steady[0]:.0f}",
    f"{held[-1]:.0f}",
    f"{1024 * rise:.1f}",
    f"{1024 * error:.1f}",
    measure.Spread.of(seconds[name]).text(),
  ]


if __name__ == "__main__":
  main.run(scale)
