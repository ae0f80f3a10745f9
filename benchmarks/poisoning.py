"""How far the training goes when some of its clients poison it.

python -m benchmarks.poisoning [--clients=10 --rounds=20 --seeds=0,1,2 --out=FILE.md]

On generated slices, without any other defence. Each training has clients who flip labels (the next
class), or one who also boosts its update by the number of clients (model replacement), under the
mean (Eq. 4), TFF's zeroing and clipping, the median and the trimmed mean. The table holds the
global model's accuracy on the evaluation images after the last round, mean and range over seeds.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.data.augment import parse_ops
from fedsafe_tff.data.shard_reader import read_client
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.learning.aggregation import build_aggregator
from fedsafe_tff.learning.client_work import build_client_work
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.learning.poisoning import boosted, flip_labels
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared, prepare
from fedsafe_tff.runs.report.render import markdown, write_text
from fedsafe_tff.runtime.native import NativeRuntime
from fedsafe_tff.training.upload import Upload

MODEL = f"{__package__}.poisoning:shallow"
AGGREGATORS = ("mean", "robust", "median", "trimmed_mean")


def shallow(input_shape: tuple[int, int, int], num_classes: int) -> tf.keras.Model:
  """A network that learns the generated slices in a few rounds."""
  layers = tf.keras.layers
  return tf.keras.Sequential(
    [
      layers.Input(input_shape),
      layers.Rescaling(4.0, -2.0),
      layers.Conv2D(16, 5, strides=2, activation="relu", padding="same"),
      layers.MaxPool2D(2),
      layers.Flatten(),
      layers.Dense(32, activation="relu"),
      layers.Dense(num_classes),
    ]
  )


def poisonings(clients: int) -> list[tuple[str, tuple[int, ...], float]]:
  """Name, who poisons, and the factor of the boost, 1 for none."""
  fifth, two_fifths = max(1, clients // 5), max(1, 2 * clients // 5)
  return [
    ("nobody", (), 1.0),
    (f"{fifth} of {clients} flip labels", tuple(range(fifth)), 1.0),
    (f"{two_fifths} of {clients} flip labels", tuple(range(two_fifths)), 1.0),
    (f"1 of {clients} flips labels and replaces the model", (0,), float(clients)),
  ]


def accuracy(
  config: Config, prepared: Prepared, call, aggregator: str, who: Sequence[int], factor: float
) -> float:
  """Of the global model after the training."""
  directory, shape = prepared.store.directory, prepared.store.image_shape
  classes = len(prepared.image_set.class_names)
  clients = Shards(
    read=flip_labels(lambda client: read_client(directory, client, shape), who, classes),
    batch_size=config.batch_size,
    epochs=config.local_epochs,
    augment=parse_ops(config.augment),
  )
  upload = Upload("update")
  work = build_client_work(
    prepared.model,
    tff.learning.optimizers.build_sgdm(config.learning_rate, config.momentum),
    clients=clients,
    gradient_clip=config.gradient_clip,
    upload=upload,
    seed=config.seed,
  )
  process = build_fed_safe(
    prepared.model,
    clients=clients,
    client_work=boosted(work, who, factor),
    upload=upload,
    model_aggregator=build_aggregator(aggregator),
    seed=config.seed,
  )
  state = call(process.initialize)
  for _ in range(config.rounds):
    state = call(process.next, state, list(range(config.num_clients))).state
  weights = [np.asarray(w) for w in call(process.get_model_weights, state).trainable]
  images, labels = prepared.images("evaluation")
  return float((Scorer(prepared.model).predict(weights, images) == labels).mean())


def table(clients: int, rounds: int, seeds: Sequence[int]) -> str:
  """Accuracy by poisoning and aggregator, as Markdown."""
  found: dict[tuple[str, str], list[float]] = {}
  majority = []
  with tempfile.TemporaryDirectory() as folder:
    with NativeRuntime(pathlib.Path(folder) / "worker.log") as runtime:
      for seed in seeds:
        config = Config(
          dataset="phantom", num_images=600, image_size=32, num_clients=clients, rounds=rounds,
          batch_size=8, learning_rate=0.05, momentum=0.5, gradient_clip=1.0, seed=seed,
          partition="iid", cache_dir=folder, min_client_images=5, model=MODEL,
        )  # fmt: skip
        prepared = prepare(config)
        majority.append(prepared.trivial["majority_class"])
        for name, who, factor in poisonings(clients):
          for aggregator in AGGREGATORS:
            value = accuracy(config, prepared, runtime.call, aggregator, who, factor)
            found.setdefault((name, aggregator), []).append(value)
            print(f"seed {seed}, {name}, {aggregator}: {value:.3f}", flush=True)
  rows = [
    [name, *(_text(found[name, aggregator]) for aggregator in AGGREGATORS)]
    for name, _, _ in poisonings(clients)
  ]
  told = ", ".join(map(str, seeds))
  note = f"\nMajority class {_text(majority)}; {rounds} rounds, seeds {told}.\n"
  return markdown(["who poisons", *AGGREGATORS], rows) + note


def _text(values: Sequence[float]) -> str:
  return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
  """Prints the table, and writes it where it is told to."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--clients", type=int, default=10)
  parser.add_argument("--rounds", type=int, default=20)
  parser.add_argument("--seeds", default="0,1,2")
  parser.add_argument("--out")
  given = parser.parse_args()
  tf.config.threading.set_inter_op_parallelism_threads(1)
  text = table(given.clients, given.rounds, [int(seed) for seed in given.seeds.split(",")])
  print(text)
  if given.out:
    write_text(pathlib.Path(given.out), text)


if __name__ == "__main__":
  main()
