"""Cells of a tiny request, and what a cache has of them, without any training."""

import numpy as np

from fedsafe_tff.paper import identity
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import make_cell
from fedsafe_tff.runs.run_dir import write_json
from tests.paper import synthetic

EPS = (0.01, 0.02)
HERE, OTHER = "a" * 64, "b" * 64  # identities of images


def cache_of(tmp_path, inputs, **more):
  return Cache(tmp_path / "cache", known=lambda config: inputs, **more)


def cells(tmp_path, *methods, seed=0, **settings):
  request = synthetic.request(tmp_path, settings=settings)
  return [make_cell(request, request.tasks[0], m, seed, eps=EPS) for m in methods]


def train(cache, cell, **more):
  folder = cache.training(cell.config)
  write_json(folder / "config.json", identity.training_config(cell.config).as_dict())
  manifest = {"finished": "now", "training_seconds": 60.0, "identity": cache.known(cell.config)}
  write_json(folder / "manifest.json", manifest | more)
  (folder / "checkpoints" / f"program_state_{cell.config.rounds}").mkdir(parents=True)


def attack(cache, cell, eps, asr=0.25, **more):
  result = {"attack": "pgd", "eps": eps, "clean_accuracy": 0.9, "asr_self": asr}
  synthetic.store_evaluation(cache, cell, eps, **{"result": result} | more)


def adapt(cache, cell, **more):
  facts = {"config": identity.adapted_config(cell.config).as_dict(), "identity": HERE} | more
  file = cache.adapted(cell.config)
  write_json(file.with_suffix(".json"), facts)
  np.savez(file, np.zeros(1))


def make_old(cache, cell, eps):
  """As versions wrote it that knew of no identity of images."""
  stage = identity.evaluation_config(cell.config, eps)
  train(cache, cell)
  attack(cache, cell, eps)
  folder = cache.training(cell.config)
  old = folder.with_name(identity.old_training_name(cell.config))
  folder.rename(old)
  file = old / "evaluations" / f"{identity.digest(stage)}.json"
  stored = read_json(file)
  del stored["identity"]
  file.unlink()
  write_json(old / "evaluations" / f"{identity.old_digest(stage)}.json", stored)
  return old


def by_older_definition(cache, cell, eps):
  """Attacks 29 of 40 images; the copies' accuracy is that on the attacked ones."""
  attack(cache, cell, eps, clean_accuracy_clients=[0.85, 0.95])
  folder = cache.training(cell.config)
  manifest = {"finished": "now", "data": {"parts": {"evaluation": 40}}}
  write_json(folder / "manifest.json", manifest)
