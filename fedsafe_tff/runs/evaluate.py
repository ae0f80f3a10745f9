"""Attacks the trained copies and writes what came of it into the run folder."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff import keys, versions
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.data import seeds
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.evaluation.examples import triptych
from fedsafe_tff.evaluation.leak import accuracy_by_copy
from fedsafe_tff.evaluation.transfer import AttackResult, Evaluator
from fedsafe_tff.evaluation.worst_case import WorstCase
from fedsafe_tff.runs import parts, strata
from fedsafe_tff.runs import run_dir as run_dir_lib
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.runs.report.render import write_csv

_EXAMPLE_EPS = 0.03  # Figure 1 of the paper
_EXAMPLE_CANDIDATES = 64


_ATTACK_SETTINGS = {
  "steps": "attack_steps",
  "step_size": "attack_step_size",
  "random_start": "attack_random_start",
  "restarts": "attack_restarts",
}


def attack_specs(config: Config) -> list[AttackSpec]:
  """Every attack at every size, in the order of the flags.

  Raises:
    UserError: A setting that none of the attacks takes, or an attack that can't be had so.
  """
  names = config.attacks.split(",")
  fields = {name: ATTACKS[name].fields for name in names}
  for field, flag in _ATTACK_SETTINGS.items():
    if flag in parts.changed(config) and not any(field in fields[name] for name in names):
      raise UserError(f"--{flag} has no effect: none of --attacks={config.attacks} takes it")
  specs = []
  for name in names:
    given = {f: getattr(config, flag) for f, flag in _ATTACK_SETTINGS.items() if f in fields[name]}
    if name == "fgsm":
      given = {"steps": 1}  # under which its results are stored
    for eps in config.attack_eps:
      specs.append(AttackSpec(name, eps, labels=config.attack_labels, **given))
  return specs


def attacked_rows(config: Config, prepared: Prepared) -> np.ndarray:
  """Indices of the evaluation images that are attacked."""
  rows = prepared.parts.evaluation
  if 0 < config.attack_images < len(rows):
    rng = seeds.generator(config.seed, "evaluation/attacked")
    rows = rows[np.sort(rng.permutation(len(rows))[: config.attack_images])]
  return rows


def attacked_images(config: Config, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
  """The evaluation images that are attacked, with their labels."""
  rows = attacked_rows(config, prepared)
  return prepared.image_set.images[rows], prepared.image_set.labels[rows]


def build_evaluator(
  config: Config, prepared: Prepared, copies: Sequence[Sequence[np.ndarray]]
) -> Evaluator:
  """Attacks on the clients' copies; what an attack gives does not depend on those before it."""
  return Evaluator(
    prepared.model,
    copies,
    *attacked_images(config, prepared),
    key=_evaluation_key(config),
    batch_size=config.evaluation_batch_size,
    colluders=config.attack_colluders,
  )


def clean_accuracies(
  scorer: Scorer,
  prepared: Prepared,
  weights: Sequence[np.ndarray],
  copies: Sequence[Sequence[np.ndarray]],
) -> tuple[float, list[float]]:
  """Of the global model and of each copy on all evaluation images, attacked or not."""

  def accuracy(model: Sequence[np.ndarray]) -> float:
    return scorer.loss_and_accuracy(model, *prepared.images("evaluation"))[1]

  first = first_equal([weights, *copies])
  found: dict[int, float] = {}
  for index, model in enumerate([weights, *copies]):
    found[index] = accuracy(model) if first[index] == index else found[first[index]]
  return found[0], [found[index + 1] for index in range(len(copies))]


def leak(
  config: Config, scorer: Scorer, prepared: Prepared, weights: Sequence[np.ndarray]
) -> dict[str, float | int]:
  """The global model's accuracy on evaluation images with and without a copy that it learnt from.

  It learns from the clients' images and, where the server adapts it, from the server's.
  """
  predicted = scorer.predict(weights, prepared.images("evaluation")[0])
  images, parts = prepared.image_set, prepared.parts
  learnt = np.concatenate([parts.train, parts.adaptation]) if config.adapts else parts.train
  return accuracy_by_copy(images.labels, predicted, images.groups, learnt, parts.evaluation)


def _evaluation_key(config: Config):
  return keys.fold(keys.root(config.seed), keys.EVALUATION)


def evaluate(
  config: Config,
  prepared: Prepared,
  weights: Sequence[np.ndarray],
  copies: Sequence[Sequence[np.ndarray]],
  path: pathlib.Path,
  log: Callable[[str], None],
) -> dict[str, Any]:
  """Every client in turn is the adversary on the copy that it received.

  Args:
    config: The run's settings.
    prepared: Data and model.
    weights: The global model.
    copies: What each client received.
    path: The run folder; `evaluation.json`, `transfer_matrix.csv`, `examples.npz` and, where sites
      or patients are known, `strata.csv` go there.
    log: Is told of each attack.

  Returns:
    Contents of `evaluation.json`.
  """
  scorer = Scorer(prepared.model, config.evaluation_batch_size)
  clean, clean_copies = clean_accuracies(scorer, prepared, weights, copies)
  attacked = attacked_rows(config, prepared)
  evaluator = build_evaluator(config, prepared, copies)
  done = _Done(path / "evaluation.partial.json")
  specs = attack_specs(config)
  for number, spec in enumerate(specs, 1):
    if spec not in done:
      result = evaluator.attack(spec)
      done.add(spec, result, strata.rows(config, prepared, attacked, result))
    log(
      f"attack {number}/{len(specs)}: {spec.name} eps {spec.eps:g}, "
      f"self-ASR {done.summary(spec)['asr_self']:.3f}"
    )
  evaluation = {
    "result_versions": versions.current(),
    "clean_accuracy_global": clean,
    "clean_accuracy_clients": clean_copies,
    "attacked_images": len(attacked),
    "majority_class": prepared.trivial["majority_class"],
    "trivial_baselines": prepared.trivial,
    "results": [done.summary(spec) for spec in specs],
  }
  by_stratum = [row for spec in specs for row in done.strata(spec)]
  if by_stratum:
    evaluation["strata"] = by_stratum
    write_csv(path / "strata.csv", by_stratum)
  if config.attack_worst_case:
    evaluation["worst_case"] = _worst_case(config, prepared, copies, specs)
  write_csv(path / "transfer_matrix.csv", [row for spec in specs for row in done.rows(spec)])
  write_examples(path / "examples.npz", config, prepared, copies[0])
  run_dir_lib.write_json(path / "evaluation.json", evaluation)
  done.forget()
  return evaluation


class _Done:
  """The attacks that were made, on disk after each one: a run that is stopped continues there."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    try:
      stored = json.loads(path.read_text())
    except (OSError, ValueError):
      stored = {}
    known = stored.get("definitions") == definitions.VERSION
    self._results = stored["results"] if known else {}

  def __contains__(self, spec: AttackSpec) -> bool:
    return repr(spec) in self._results

  def add(self, spec: AttackSpec, result: AttackResult, strata: list[dict[str, Any]]) -> None:
    rows = [{k: None if v != v else v for k, v in row.items()} for row in result.rows()]
    self._results[repr(spec)] = {"summary": result.summary(), "rows": rows, "strata": strata}
    stored = {"definitions": definitions.VERSION, "results": self._results}
    run_dir_lib.write_json(self._path, stored)

  def summary(self, spec: AttackSpec) -> dict[str, Any]:
    return self._results[repr(spec)]["summary"]

  def rows(self, spec: AttackSpec) -> list[dict[str, Any]]:
    return self._results[repr(spec)]["rows"]

  def strata(self, spec: AttackSpec) -> list[dict[str, Any]]:
    return self._results[repr(spec)].get("strata", [])

  def forget(self) -> None:
    self._path.unlink(missing_ok=True)


def _worst_case(
  config: Config,
  prepared: Prepared,
  copies: Sequence[Sequence[np.ndarray]],
  specs: Sequence[AttackSpec],
) -> list[dict[str, Any]]:
  """An entry per size: what any of its attacks does to the adversary's own copy."""
  worst_case = WorstCase(
    prepared.model,
    copies,
    *attacked_images(config, prepared),
    key=_evaluation_key(config),
    batch_size=config.evaluation_batch_size,
  )
  return [
    worst_case.attack([spec for spec in specs if spec.eps == eps]) for eps in config.attack_eps
  ]


def write_examples(
  path: pathlib.Path, config: Config, prepared: Prepared, copy: Sequence[np.ndarray]
) -> None:
  """Figure 1: writes FGSM examples at eps 0.03 on one client's copy to `path`, an `.npz`."""
  images, labels = attacked_images(config, prepared)
  spec = AttackSpec("fgsm", _EXAMPLE_EPS, steps=1)
  some = slice(0, _EXAMPLE_CANDIDATES)
  if len(labels) > _EXAMPLE_CANDIDATES:
    # Files come class by class: take from all over, and the classes in turn.
    some = np.linspace(0, len(labels) - 1, _EXAMPLE_CANDIDATES).astype(int)
    some = some.reshape(4, -1).T.ravel()
  examples = triptych(
    prepared.model, copy, images[some], labels[some], spec, _evaluation_key(config)
  )
  with atomic_path(path) as temporary, temporary.open("wb") as file:
    np.savez(
      file,
      **examples,
      eps=np.float32(spec.eps),
      attack=np.array(spec.name),
      class_names=np.array(prepared.image_set.class_names),
    )
