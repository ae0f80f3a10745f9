"""Whether a long federation stays flat: memory, open files, threads and seconds of a round.

python -m benchmarks.load [--rounds=1000] [--clients=1000] [--sample=10] [--keep=3]

The device runtime trains a small model of tests/small.py on shards of many clients, a sample of
whom takes part in each round; every state is checkpointed as a run does it. For each quantity the
slope over the rounds is printed with its standard error (least squares over the rounds after the
first hundred; seconds are per 1,000 rounds, like all others).
"""

import argparse
import os
import pathlib
import tempfile
import time

import numpy as np

_WARM = 100  # rounds in which caches fill


def slope(values: np.ndarray) -> tuple[float, float]:
  """Change per round of a series, and its standard error."""
  x = np.arange(len(values)) - (len(values) - 1) / 2
  steep = (x * values).sum() / (x**2).sum()
  left = values - values.mean() - steep * x
  return steep, float(np.sqrt((left**2).sum() / (len(values) - 2) / (x**2).sum()))


def run(rounds: int, clients: int, sample: int, keep: int, folder: pathlib.Path) -> dict:
  """Trains; returns a value per round of each quantity, and the size of the checkpoints."""
  import psutil
  import tensorflow_federated as tff

  from fedsafe_tff.data import shards
  from fedsafe_tff.learning.clients import Shards
  from fedsafe_tff.learning.fed_safe import build_fed_safe
  from fedsafe_tff.runs.loop import Checkpoints
  from fedsafe_tff.runtime.device import DeviceRuntime
  from tests import small

  parts = {shards.client_name(i): small.images(4, i) for i in range(clients)}
  store = shards.build(str(folder), "load", parts)
  checkpoints = Checkpoints(folder / "checkpoints", keep)
  me, rng = psutil.Process(), np.random.default_rng(0)
  told = {name: np.zeros(rounds) for name in ("seconds", "MiB", "open files", "threads")}
  with DeviceRuntime() as runtime:
    process = build_fed_safe(
      small.net(), client_optimizer=tff.learning.optimizers.build_sgdm(0.05), seed=1,
      clients=Shards(small.read_shards(store), batch_size=4, epochs=1),
    )  # fmt: skip
    state = runtime.call(process.initialize)
    for number in range(rounds):
      begun = time.perf_counter()
      chosen = sorted(rng.choice(clients, sample, replace=False).tolist())
      state = runtime.call(process.next, state, chosen).state
      checkpoints.save(state, number + 1)
      told["seconds"][number] = time.perf_counter() - begun
      told["MiB"][number] = me.memory_info().rss / 2**20
      told["open files"][number] = len(os.listdir("/proc/self/fd"))
      told["threads"][number] = me.num_threads()
  size = sum(p.stat().st_size for p in (folder / "checkpoints").rglob("*") if p.is_file())
  return told | {"checkpoints": len(os.listdir(folder / "checkpoints")), "bytes": size}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  for name, default in (("rounds", 1000), ("clients", 1000), ("sample", 10), ("keep", 3)):
    parser.add_argument(f"--{name}", type=int, default=default)
  given = parser.parse_args()
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  with tempfile.TemporaryDirectory(prefix="fedsafe-load-") as folder:
    told = run(**vars(given), folder=pathlib.Path(folder))
  kept, size = told.pop("checkpoints"), told.pop("bytes")
  print(f"{given.rounds} rounds, {given.sample} of {given.clients} clients in each")
  for name, values in told.items():
    steep, error = slope(values[min(_WARM, len(values) // 2) :])
    print(
      f"{name:10}  median {np.median(values):9.3f}  last {values[-1]:9.3f}  slope per 1,000 rounds "
      f"{1000 * steep:+.4f} ± {1000 * error:.4f}"
    )
  print(f"{kept} checkpoints, {size / 2**20:.2f} MiB")


if __name__ == "__main__":
  main()
