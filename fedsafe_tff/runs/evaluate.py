"""Attacks the trained copies and writes what came of it into the run folder."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fedsafe_tff import versions
from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.accuracy import NotFinite, Scorer
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.evaluation.leak import accuracy_by_copy
from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.suites import Suite
from fedsafe_tff.evaluation.transfer import Evaluator, sampled
from fedsafe_tff.evaluation.worst_case import WorstCase
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs import alone, defenses, strata, targets, trials
from fedsafe_tff.runs import run_dir as run_dir_lib
from fedsafe_tff.runs.attackers import Attackers, evaluation_key
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.runs.report.progress import duration
from fedsafe_tff.runs.report.render import write_csv
from fedsafe_tff.training.copies import Noise

SURROGATES = "attacks/surrogates"  # in a run folder
_SAY_EVERY = 30.0  # seconds


def build_evaluator(
  config: Config,
  prepared: Prepared,
  copies: Sequence[Sequence[np.ndarray]],
  log: Callable[[str], None] | None = None,
) -> Evaluator:
  """Attacks on the clients' copies; what an attack gives does not depend on those before it."""
  return Evaluator(
    prepared.model,
    copies,
    *targets.attacked_images(config, prepared),
    key=evaluation_key(config),
    batch_size=config.evaluation_batch_size,
    colluders=config.attack_colluders,
    most_clients=config.attack_clients,
    progress=None if log is None else _Told(log),
  )


class _Told:
  """Tells how far a long attack is, at most every half minute."""

  def __init__(self, log: Callable[[str], None]):
    self._log = log
    self._begun = self._said = time.monotonic()

  def __call__(self, done: int, of: int) -> None:
    now = time.monotonic()
    if not done:
      self._begun = self._said = now
    elif now - self._said > _SAY_EVERY:
      self._said = now
      left = (now - self._begun) / done * (of - done)
      self._log(f"adversary {done} of {of}, left of this attack {duration(left)}")


def clean_accuracies(
  scorer: Scorer,
  prepared: Prepared,
  weights: Sequence[np.ndarray],
  copies: Sequence[Sequence[np.ndarray]],
) -> tuple[float, list[float]]:
  """Of the global model and of each copy on all evaluation images, attacked or not."""

  def accuracy(model: Sequence[np.ndarray]) -> float:
    loss, found = scorer.loss_and_accuracy(model, *prepared.images("evaluation"))
    if not np.isfinite(loss):
      raise NotFinite(
        f"the loss of a model on the evaluation images is {loss}: it can't be evaluated; train it "
        "with a lower learning rate or less noise"
      )
    return found

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


def evaluate(
  config: Config,
  prepared: Prepared,
  weights: Sequence[np.ndarray],
  copies: Sequence[Sequence[np.ndarray]],
  path: pathlib.Path,
  log: Callable[[str], None],
  *,
  sigma: float = 0.0,
  history: Sequence[Sequence[np.ndarray]] = (),
  rounds: Sequence[Sequence[Sequence[np.ndarray]]] = (),
  received: Sequence[Sequence[np.ndarray]] | None = None,
  network: FunctionalModel | None = None,
  keep: bool = False,
  suite: Suite | None = None,
  masking: bool = True,
  surrogates: pathlib.Path | None = None,
) -> dict[str, Any]:
  """Every client in turn is the adversary on the copy that it received.

  Args:
    config: The run's settings.
    prepared: Data and model.
    weights: The global model.
    copies: What each client received.
    path: The run folder; `evaluation.json`, `transfer_matrix.csv`, `images.csv`, `examples.npz`
      and, where sites or patients are known, `strata.csv` go there.
    log: Is told of each attack.
    sigma: Standard deviation of the copies' noise per weight; 0 for none.
    history: Global models of earlier rounds.
    rounds: Copies by round and client that clients received in these rounds; empty where they
      received the global models themselves.
    received: What each client received, where `copies` is what it made of that; None where they are
      the same.
    network: What an attacker without a copy trains; None for the model.
    keep: Whether results image by image are kept when all are made; until then they are.
    suite: What is run in the place of the suite that the settings name.
    masking: Whether it is asked too if robustness is only hidden.
    surrogates: Folder where models that attackers trained by themselves are kept; None for none.

  Returns:
    Contents of `evaluation.json`.

  Raises:
    UserError: An attack or attacker that fits neither clients nor model.
  """
  scorer = Scorer(prepared.model, config.evaluation_batch_size)
  clean, clean_copies = clean_accuracies(scorer, prepared, weights, copies)
  attacked = targets.attacked_rows(config, prepared)
  evaluator = build_evaluator(config, prepared, copies, log)
  specs = targets.attack_specs(config)
  seen = {"sigma": sigma, "history": history, "rounds": rounds, "received": received}
  suite, left_out = suite or targets.suite_of(config), {}
  if suite is None:
    attempts = [trials.Attempt(spec, spec.name) for spec in specs]
  else:
    who = Attackers(
      config, prepared, weights, copies, **seen, network=network, surrogates=surrogates
    )
    attempts, left_out = who.attempts(suite, config.attack_eps)
  folder = path / ("by_image" if keep else "evaluation.partial")
  kept = kept_results(folder, config, prepared, copies, **seen, network=network)
  made = trials.make(attempts, evaluator, kept, log)
  results = made if suite is None else trials.worst_of(made)
  evaluation = {
    "result_versions": versions.current(),
    "evaluation": config.evaluation if suite is None else suite.name,
    "clean_accuracy_global": clean,
    "clean_accuracy_clients": clean_copies,
    "attacked_images": len(attacked),
    "majority_class": prepared.trivial["majority_class"],
    "trivial_baselines": prepared.trivial,
    "results": [_summary(result, prepared) for result in results],
  }
  if suite is not None:
    evaluation["trials"] = [_summary(result, prepared) for result in made]
    evaluation["left_out"] = left_out
    evaluation["notes"] = who.notes(suite)
    if masking:
      evaluation["masking"] = _masking(config, suite, who, kept, log)
  # Under several attackers, of what all of them get together, which stands last.
  shown = [result for result in results if result.attacker == results[-1].attacker]
  by_stratum = [
    row for result in shown for row in strata.rows(config, prepared, attacked, result)
  ]
  by_image = [
    {"image": int(image), **result.title(), **told}
    for result in shown
    for image, told in zip(attacked, result.by_image(), strict=True)
  ]
  write_csv(path / "images.csv", by_image, summed=True)
  if by_stratum:
    evaluation["strata"] = by_stratum
    write_csv(path / "strata.csv", by_stratum, summed=True)
  if config.attack_worst_case:
    evaluation["worst_case"] = _worst_case(config, prepared, copies, specs)
  rows = [row for result in results for row in result.rows()]
  if suite is not None:
    rows += [row for result in made for row in result.rows()]
  plain = [run_dir_lib.without_nan(row) for row in rows]
  write_csv(path / "transfer_matrix.csv", plain, summed=True)
  example = targets.example_spec(config, prepared.model.num_classes)
  targets.write_examples(path / "examples.npz", config, prepared, copies[0], example)
  run_dir_lib.write_json(path / "evaluation.json", evaluation)
  if not keep:
    kept.forget()
  return evaluation


def kept_results(
  folder: pathlib.Path,
  config: Config,
  prepared: Prepared,
  copies: Sequence[Sequence[np.ndarray]],
  *,
  sigma: float,
  history: Sequence[Sequence[np.ndarray]],
  rounds: Sequence[Sequence[Sequence[np.ndarray]]] = (),
  received: Sequence[Sequence[np.ndarray]] | None = None,
  network: FunctionalModel | None = None,
) -> trials.Kept:
  """The results image by image that a folder keeps; those of anything else are deleted."""
  way = defenses.copies(config, prepared, sigma)
  # By what attackers were once otherwise: what was kept of these is not theirs any more.
  since = {
    "redrawn": way is not None and not isinstance(way, Noise),
    "received": received is not None,
    "network": network is not None,
  }
  identity = trials.identity(
    copies,
    targets.attacked_rows(config, prepared),
    sigma=sigma,
    history=[digest(model).hex() for model in history],
    data=prepared.inputs.identity,
    settings=[config.seed, config.evaluation_batch_size, config.attack_colluders],
    alone=alone.decided_by(config),
    **{name: 1 for name, there in since.items() if there},
    **({"rounds": len(rounds)} if rounds else {}),
    **({"views": config.test_time_augment} if config.test_time_augment else {}),
    **({"sampled": config.attack_clients} if 0 < config.attack_clients < len(copies) else {}),
  )
  return trials.Kept(folder, identity)


def _summary(result: AttackResult, prepared: Prepared) -> dict[str, Any]:
  """Of one attack; several images of a patient are no independent ones: `strata` has intervals."""
  made = result.summary()
  if prepared.image_set.patients is not None:
    made.pop("intervals")
  return made


def _masking(
  config: Config,
  suite: Suite,
  who: Attackers,
  kept: trials.Kept,
  log: Callable[[str], None],
) -> Mapping[str, Any]:
  """The checks for masking, at the largest size that is asked for."""
  if any(trial.settings.get("norm", "linf") != "linf" for trial in suite.trials):
    text = "it is asked of attacks whose size is the largest change of a pixel"
    return {"passed": None, "checks": [], "text": text}
  sizes = {eps for trial in suite.trials for eps in trial.sizes or config.attack_eps}
  largest, full = max(sizes), "surrogate" in suite.attackers
  return kept.remember(
    who.masking_name(largest, full), lambda: who.masking(largest, log, full)
  )


def _worst_case(
  config: Config,
  prepared: Prepared,
  copies: Sequence[Sequence[np.ndarray]],
  specs: Sequence[AttackSpec],
) -> list[dict[str, Any]]:
  """An entry per size: what any of its attacks does to the adversary's own copy."""
  most = config.attack_clients
  worst_case = WorstCase(
    prepared.model,
    [copies[client] for client in sampled(len(copies), most, evaluation_key(config))],
    *targets.attacked_images(config, prepared),
    key=evaluation_key(config),
    batch_size=config.evaluation_batch_size,
  )
  return [
    worst_case.attack([spec for spec in specs if spec.eps == eps]) for eps in config.attack_eps
  ]
