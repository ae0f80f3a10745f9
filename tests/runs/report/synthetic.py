"""A run folder as a run of two clients and three rounds would leave it, made by hand."""

import csv
import json
import pathlib

import numpy as np

from fedsafe_tff.runs.config import Config

SIZES = (0.01, 0.03)
CLASSES = ("no tumour", "glioma")
_METRICS = {
  "round": (1, 2, 3),
  "train_loss": (0.7, 0.5, 0.25),
  "train_accuracy": (0.5, 0.75, 0.875),
  "validation_loss": (0.7, 0.6, 0.5),
  "validation_accuracy": (0.5, 0.625, 0.75),
  "epsilon": ("", "", ""),
  "adapted": (0, 0, 1),
  "adaptation_accuracy": ("", "", 0.9),
  "seconds": (20.0, 15.5, 24.0),
}


def asr(attack: str, eps: float, adversary: int, victim: int) -> float:
  """The flip rate that stands in `transfer_matrix.csv`."""
  return 10 * eps + (0.5 if attack == "pgd" else 0.25) * (adversary == victim) + 0.0625 * victim


def write_csv(path: pathlib.Path, rows: list[dict]) -> None:
  """Writes rows under the keys of the first."""
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


def write_json(path: pathlib.Path, **changes) -> None:
  """Changes entries of a JSON file, which may be missing."""
  before = json.loads(path.read_text()) if path.is_file() else {}
  path.write_text(json.dumps(before | changes))


def interrupted(path: pathlib.Path, **settings) -> pathlib.Path:
  """What there is of a run after its first flags were read; `settings` change its config."""
  path.mkdir(parents=True, exist_ok=True)
  config = Config(num_clients=2, rounds=3, defense="distributed_noise", **settings)
  (path / "config.json").write_text(json.dumps(config.as_dict()))
  return path


def write_metrics(path: pathlib.Path, rounds: int = 3, **columns) -> None:
  """Writes `metrics.csv` and `clients.csv`; `columns` take the place of the usual values."""
  columns = _METRICS | columns
  rows = [{name: values[i] for name, values in columns.items()} for i in range(rounds)]
  write_csv(path / "metrics.csv", rows)
  clients = [
    {"round": number, "client": client, "num_examples": 20 + client, "loss": 0.5 / number,
     "accuracy": 0.75, "norm": 1.5, "clipped": 0.0, "noise_to_signal": "nan"}
    for number in range(1, rounds + 1)
    for client in range(2)
  ]
  write_csv(path / "clients.csv", clients)


def write_partition(path: pathlib.Path, class_names=CLASSES) -> None:
  """Writes `partition.json`."""
  facts = {"class_names": list(class_names), "clients": [[12, 8], [5, 16]]}
  (path / "partition.json").write_text(json.dumps(facts))


def write_evaluation(path: pathlib.Path, attacks=("fgsm", "pgd"), sizes=SIZES, clients=2) -> None:
  """Writes `evaluation.json` and `transfer_matrix.csv`."""
  results, transfer = [], []
  for attack in attacks:
    for eps in sizes:
      everyone = range(clients)
      rows = [
        {"attack": attack, "eps": eps, "adversary": a, "victim": v,
         "asr": asr(attack, eps, a, v), "asr_correct": 0.5, "attack_accuracy": 0.25}
        for a in everyone
        for v in everyone
      ]
      transfer += rows
      others = [r["asr"] for r in rows if r["adversary"] != r["victim"]]
      results.append(
        {"attack": attack, "eps": eps, "clean_accuracy": 0.8125,
         "asr_self": float(np.mean([r["asr"] for r in rows if r["adversary"] == r["victim"]])),
         "asr_avg": float(np.mean(others)) if others else None,
         "asr_self_correct": 0.5, "asr_avg_correct": 0.5 if others else None,
         "attack_accuracy_self": 0.25, "attack_accuracy_avg": 0.25 if others else None,
         "random_noise_flip_rate": 0.0156, "zero_gradient_share": 0.0}
      )
  evaluation = {
    "clean_accuracy_global": 0.8125,
    "majority_class": 0.625,
    "trivial_baselines": {"majority_class": 0.625, "nearest_mean": 0.6875},
    "results": results,
  }
  (path / "evaluation.json").write_text(json.dumps(evaluation))
  write_csv(path / "transfer_matrix.csv", transfer)


def write_examples(path: pathlib.Path, class_names=CLASSES, channels=1, eps=0.03) -> None:
  """Writes `examples.npz`."""
  rng = np.random.default_rng(0)
  original = rng.uniform(size=(3, 16, 16, channels)).astype(np.float32)
  perturbation = (eps * rng.choice([-1.0, 1.0], original.shape)).astype(np.float32)
  np.savez(
    path / "examples.npz",
    original=original,
    perturbation=perturbation,
    adversarial=np.clip(original + perturbation, 0, 1),
    label=np.array([0, 1, 1], np.int32),
    predicted_before=np.array([0, 1, 0], np.int32),
    predicted_after=np.array([1, 0, 0], np.int32),
    probability_before=np.array([0.9, 0.8, 0.6], np.float32),
    probability_after=np.array([0.7, 0.6, 0.5], np.float32),
    eps=np.float32(eps),
    attack=np.array("fgsm"),
    class_names=np.array(class_names),
  )


def finished(path: pathlib.Path, class_names=CLASSES, command=(), **settings) -> pathlib.Path:
  """A whole run folder."""
  interrupted(path, **settings)
  write_metrics(path)
  write_partition(path, class_names)
  write_evaluation(path)
  write_examples(path, class_names)
  manifest = {
    "command": ["train.py", "--rounds=3", *command],
    "git_commit": None,
    "versions": {"numpy": "1.25"},
    "data": {"class_names": list(class_names)},
    "privacy": ["No differential privacy: uploads carry no noise."],
    "finished": "2024-01-01T00:00:00+00:00",
  }
  (path / "manifest.json").write_text(json.dumps(manifest))
  return path
