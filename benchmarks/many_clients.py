"""The N x N evaluation of many noised copies, of a sample of them, and the matrices of a report.

python -m benchmarks.many_clients [--copies=1000] [--sampled=50,150] [--images=16]

Copies of the small model of tests/small.py attack one another by FGSM. For every number of sampled
clients the seconds of `Evaluator.attack` are printed, and those that all would take at the same
rate; then the seconds in which `RunFolder.matrices` makes a matrix of so many clients of its rows.
"""

import argparse
import os
import pathlib
import time

import numpy as np


def evaluation(copies: int, sampled: int, images: int) -> float:
  """Seconds of an attack by `sampled` clients of `copies` on one another."""
  from fedsafe_tff import keys
  from fedsafe_tff.attacks.ensemble import GaussianRedraw
  from fedsafe_tff.attacks.spec import AttackSpec
  from fedsafe_tff.evaluation.transfer import Evaluator
  from tests import small

  model = small.net()
  draw, weights = GaussianRedraw(0.05), model.init(keys.root(0))
  held = [draw(weights, keys.fold(keys.root(1), client)) for client in range(copies)]
  pixels, labels = small.images(images, 0)
  evaluator = Evaluator(model, held, pixels, labels, key=keys.root(2), most_clients=sampled)
  begun = time.perf_counter()
  result = evaluator.attack(AttackSpec("fgsm", 0.05))
  assert result.flipped.shape == (sampled, sampled, images)
  return time.perf_counter() - begun


def matrices(clients: int) -> float:
  """Seconds in which a report makes a matrix of the rows of all pairs."""
  from fedsafe_tff.runs.report.run_folder import RunFolder

  rows = [
    {"attack": "fgsm", "eps": 0.05, "adversary": float(a), "victim": float(v), "asr": 0.5}
    for a in range(clients)
    for v in range(clients)
  ]
  folder = RunFolder(pathlib.Path(), {}, {}, [], [], {}, {}, rows, {})
  begun = time.perf_counter()
  (made,) = folder.matrices().values()
  assert made.shape == (clients, clients) and np.all(made == 0.5)
  return time.perf_counter() - begun


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--copies", type=int, default=1000)
  parser.add_argument("--sampled", type=lambda text: [int(n) for n in text.split(",")],
                      default=[50, 150])  # fmt: skip
  parser.add_argument("--images", type=int, default=16)
  given = parser.parse_args()
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  for sampled in given.sampled:
    seconds = evaluation(given.copies, sampled, given.images)
    every = seconds * (given.copies / sampled) ** 2
    print(
      f"{sampled} of {given.copies} copies: {seconds:.1f} s; all of them at this rate: "
      f"{every / 60:.0f} min"
    )
  for clients in (given.copies // 2, given.copies):
    print(f"matrix of {clients} clients: {matrices(clients):.2f} s")


if __name__ == "__main__":
  main()
