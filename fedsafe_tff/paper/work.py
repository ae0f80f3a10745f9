"""Does what a sweep lacks: trains, adapts, distributes, attacks; every result goes into the cache.

Cells of one training are done together: its data are read once, and its adapted models and
distributed copies come from the one checkpoint.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.evaluation.accuracy import NotFinite, Scorer
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.paper import identity
from fedsafe_tff.paper.cache import Cache
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.paper.progress import SweepProgress
from fedsafe_tff.paper.steps import EXAMPLES, Step, attack_step, steps_of
from fedsafe_tff.paper.training import Training, Weights
from fedsafe_tff.paper.under_suite import UnderSuite
from fedsafe_tff.runs import evaluate, loop, run_dir, runtimes, targets
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import prepare
from fedsafe_tff.runtime.signals import StopRequest

Failure = tuple[Cell, str]


def do_group(
  cells: Sequence[Cell], cache: Cache, progress: SweepProgress, stop: StopRequest
) -> list[Failure]:
  """Does all that cells of one training lack.

  Args:
    cells: Cells that share a training.
    cache: Where results go.
    progress: Is told of every step.
    stop: Is looked at between rounds and between steps.

  Returns:
    The cells that could not be done, with the reason.

  Raises:
    UserError: The cache holds something else.
    Stopped: The user asked to stop; what is finished is saved.
  """
  config = identity.training_config(cells[0].config)
  try:
    prepared = prepare(config)
  except UserError as error:  # such as too few images for so many clients
    progress.drop(steps_of(cells, cache))
    return [(cell, str(error)) for cell in cells]
  training = Training(config, prepared, cache, progress, stop)
  failures = []
  with runtimes.open_runtime(config, training.path / "worker.log", progress.note) as runtime:
    training.call, training.devices = runtime.call, runtime.devices
    try:
      if not cache.is_trained(config):
        training.train(cells[0])
    except loop.Diverged as error:
      progress.drop(steps_of(cells, cache))
      return [(cell, str(error)) for cell in cells]
    for cell in cells:
      # Two cells may have become one by what was typed; the first has done it for both.
      if not cache.to_do(cell):
        continue
      try:
        _attack(cell, training)
      except (loop.Diverged, NotFinite) as error:
        progress.drop(steps_of([cell], cache))
        failures.append((cell, str(error)))
  return failures


def _attack(cell: Cell, training: Training) -> None:
  """Attacks a cell's copies at the sizes that are to do, or makes its example images."""
  weights, copies = training.copies(cell)
  if cell.examples:
    training.check_stop()
    training.progress.begin(Step(EXAMPLES, cell.task), f"{cell.title()}, example images")
    path = training.cache.examples(cell.config)
    targets.write_examples(path, cell.config, training.prepared, copies[0])
    wanted = identity.evaluation_config(cell.config, 0.0)
    facts = {"config": wanted.as_dict()} | training.inputs(wanted).facts()
    run_dir.write_json(path.with_suffix(".json"), facts | training.origin)
    training.progress.end()
    return
  config = cell.config
  scorer = Scorer(training.prepared.model, config.evaluation_batch_size)
  clean, clean_copies = evaluate.clean_accuracies(scorer, training.prepared, weights, copies)
  evaluator = evaluate.build_evaluator(config, training.prepared, copies)
  attacked = None
  if config.evaluation != "paper":
    attacked = _under_suite(cell, training, weights, copies, evaluator)
  for eps in training.cache.to_do(cell):
    training.check_stop()
    what = config.attacks if attacked is None else config.evaluation
    training.progress.begin(attack_step(cell), f"{cell.title()}, {what} eps {eps:.4g}")
    started = time.monotonic()
    file = training.cache.evaluation(config, eps)
    before = training.cache.find_evaluation(config, eps)
    renewed = before and definitions.renewed(
      before,
      clean_global=clean,
      clean_copies=clean_copies,
      accuracy_on_attacked=evaluator.clean_accuracy().mean(),
    )
    if renewed:
      now = {"result_versions": versions.current(), "renewed": training.origin}
      now["of_patients"] = training.prepared.image_set.patients is not None
      run_dir.write_json(file, renewed | now)
      training.progress.end("its attack was there, clean accuracy by today's definition")
      continue
    wanted = identity.evaluation_config(config, eps)
    found = attacked.at(eps) if attacked else _papers(evaluator, wanted)
    evaluation = {
      "config": wanted.as_dict(),
      "result_versions": versions.current(),
      **found,
      "clean_accuracy_global": clean,
      "clean_accuracy_clients": clean_copies,
      "majority_class": training.prepared.trivial["majority_class"],
      "trivial_baselines": training.prepared.trivial,
      "of_patients": training.prepared.image_set.patients is not None,
      "attacked_images": len(targets.attacked_images(config, training.prepared)[1]),
      "adapted": training.cache.adapted(config).name if config.adapts else None,
      "leak": evaluate.leak(config, scorer, training.prepared, weights),
      "noise": {"downlink_sigma": training.noise_of(config).downlink_sigma},
      "copies_seconds": training.copies_seconds,
      **training.inputs(wanted).facts(),
      "seconds": round(time.monotonic() - started, 2),
    }
    stored = run_dir.without_nan(evaluation) | training.origin
    run_dir.write_json(file, stored)
    numbers = evaluation["result"]
    other = numbers["asr_avg"]
    training.progress.end(
      f"ASR self {numbers['asr_self']:.3f}" + ("" if other is None else f", avg {other:.3f}")
    )


def _papers(evaluator: Evaluator, wanted: Config) -> dict[str, Any]:
  result = evaluator.attack(*targets.attack_specs(wanted))
  return {"result": result.summary(), "transfer_matrix": result.rows()}


def _under_suite(
  cell: Cell,
  training: Training,
  weights: Weights,
  copies: Sequence[Weights],
  evaluator: Evaluator,
) -> UnderSuite:
  config = cell.config

  def log(text: str) -> None:
    training.progress.trial(text)
    training.check_stop()

  return UnderSuite(
    config,
    dataclasses.replace(training.prepared, inputs=training.inputs(config)),
    weights,
    copies,
    evaluator,
    training.cache.trials(config, len(targets.attacked_rows(config, training.prepared))),
    sigma=training.noise_of(config).downlink_sigma,
    # Under every suite, though few ask for it: trials are kept with what attackers knew.
    history=training.history(cell),
    surrogates=training.path / "surrogates",
    log=log,
  )
