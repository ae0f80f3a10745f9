"""Rows of a sweep with numbers that a test chooses."""

import pathlib

from fedsafe_tff.paper import identity
from fedsafe_tff.paper.request import Request, Task
from fedsafe_tff.paper.results import Results
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.run_dir import write_json

ADVERSARIAL, NOISE = "server_adversarial_training", "distributed_noise"


def row(method, *, task="glioma", variant="", seed=0, eps=0.05, own=0.4, other=0.2, **values):
  """A row; `own` and `other` are the self- and the avg-ASR."""
  made = {
    "task": task,
    "method": method,
    "variant": variant,
    "seed": seed,
    "eps": eps,
    "eps_pixels": eps,
    "attack": "pgd",
    "clean_accuracy": 0.9,
    "asr_self": own,
    "asr_avg": other,
    "asr_self_correct": own,
    "asr_avg_correct": other,
    "attack_accuracy_self": 0.5,
    "attack_accuracy_avg": 0.6,
    "random_noise_flip_rate": 0.01,
    "zero_gradient_share": 0.0,
    "clean_accuracy_global": 0.9,
    "majority_class": 0.6,
    "attacked_images": 100,
    "evaluation": f"trainings/x/evaluations/{method} {variant} {seed} {eps}.json",
    "training": "trainings/x",
    "git_commit": "abc",
    "keys": 1,
    "splits": 1,
    "definitions": 2,
  } | values
  return {"clean_accuracy_all": made["clean_accuracy"]} | made


def many(method, own, other, *, seeds=range(5), spread=0.0, **keywords):
  """A row per seed; the values move by `spread` from seed to seed, the same for every method."""
  return [
    row(method, seed=s, own=own + spread * s, other=other + spread * s, **keywords) for s in seeds
  ]


def results(*groups):
  """Results from lists of rows."""
  return Results([r for group in groups for r in group])


def request(folder: pathlib.Path, name="table1", *, seeds=(0,), settings=None, **keywords):
  """A request for a phantom task."""
  noise = {"clip_norm": 20.0, "uplink_sigma": 0.001, "noise_seed": 0}
  config = Config(**(noise | (settings or {})))
  return Request(
    name=name,
    tasks=(Task("phantom", config),),
    seeds=seeds,
    out=folder / name,
    cache=folder / "cache",
    **keywords,
  )


def store_evaluation(cache, cell, eps, **more):
  """Puts an evaluation of a cell at one size into a cache; `more` wins over what it holds."""
  metrics = {k: v for k, v in row(cell.method).items() if k.startswith(("asr_", "attack_acc"))}
  evaluation = {
    "config": identity.evaluation_config(cell.config, eps).as_dict(),
    "result": metrics
    | {
      "attack": "pgd",
      "eps": eps,
      "clean_accuracy": 0.9,
      "random_noise_flip_rate": 0.01,
      "zero_gradient_share": 0.0,
    },
    "clean_accuracy_global": 0.91,
    "clean_accuracy_clients": [0.90, 0.94],
    "majority_class": 0.6,
    "attacked_images": 29,
    "git_commit": "abc",
    "seconds": 2.0,
    "identity": cache.known(cell.config),
  }
  write_json(cache.evaluation(cell.config, eps), evaluation | more)
