"""Makes a table or figure: does what is missing, then writes tables, plots and the page."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.registry import MODELS
from fedsafe_tff.paper import (
  ablation,
  by_attacker,
  figure1,
  figure2,
  figure3,
  identity,
  known,
  mixture,
  page,
  rows,
  steps,
  table1,
  table2,
)
from fedsafe_tff.paper.cache import Cache
from fedsafe_tff.paper.cells import Cell, check_typed, of_methods
from fedsafe_tff.paper.progress import SweepProgress
from fedsafe_tff.paper.report import Report
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.report import render


class Study(Protocol):
  """What the module of a table or figure offers."""

  TITLE: str

  def cells(self, request: Request) -> list[Cell]:
    """The cells that it needs."""

  def report(self, request: Request, results: Results, folder: pathlib.Path) -> Report:
    """Writes its tables and plots into `folder`."""


_STUDIES: dict[str, Study] = {
  "table1": table1,
  "table2": table2,
  "figure1": figure1,
  "figure2": figure2,
  "figure3": figure3,
  "ablation": ablation,
}


def run(request: Request) -> tuple[pathlib.Path, int]:
  """Makes a table or figure, from the cache as far as that goes.

  Args:
    request: What the user asks for.

  Returns:
    The page, and the number of cells that could not be done or that the cache lacks.

  Raises:
    UserError: What the user can mend.
    Stopped: After Ctrl-C or SIGTERM; what is finished is saved.
  """
  study = _STUDIES[request.name]
  cells = of_methods(request, study.cells(request))
  check_typed(request, cells)
  try:
    request.out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"--out={request.out} can't be made ({error.strerror}): choose another folder"
    ) from None
  told = known.Known(_say, required=not request.only_cached)
  request = dataclasses.replace(request, known=told)
  cache = Cache.of(request)
  if any(cell.config.model not in MODELS for cell in cells):
    _set_up(cells[0].config)  # to tell what a user's model is needs TensorFlow
  if request.only_cached:
    failures = [(c, known.why_missing(c, cache)) for c in cells if cache.missing(c)]
    for task, reason in told.unread.items():
      _say(f"{task} is not compared with its images: {reason}")
  else:
    failures = _do_missing(request, cells, cache)
  notes = known.notes(cells, cache, list(told.unread))
  for note in notes:
    _say(note)
  results = Results(rows.of_cells(cache, cells))
  mixed = mixture.check(request, results.rows)
  report = study.report(request, results, request.out)
  numbers: Sequence[Mapping[str, Any]] = results.rows
  if request.evaluation != "paper":
    numbers = rows.of_attackers(cache, cells)
    more = by_attacker.sections(numbers, request, request.out)
    report = dataclasses.replace(report, sections=(*more, *report.sections))
    for row in numbers:
      for name in (*rows.ABOUT_ATTACKERS, rows.SECONDS, rows.BY_IMAGE):
        del row[name]
  if numbers:
    render.write_csv(request.out / "numbers.csv", numbers)
  if report.claims:
    records = [
      {"claim": c.text, "verdict": c.verdict, "evidence": " ".join(c.evidence)}
      for c in report.claims
    ]
    render.write_csv(request.out / "claims.csv", records)
  lacking = [(cell.title(), reason) for cell, reason in failures]
  path = page.write(
    request.out, study.TITLE, report, request, cells, lacking, results.rows, mixed, notes
  )
  return path, len(failures)


def _say(text: str) -> None:
  print(text, flush=True)


@functools.cache
def _set_up(config: Config) -> None:
  """What TensorFlow has to be told before it computes anything, and can be told once."""
  import tensorflow as tf

  from fedsafe_tff.runs import runtimes

  # Every model has its evaluator with its graphs, which TensorFlow would warn of.
  tf.get_logger().setLevel("ERROR")
  if config.threads:
    tf.config.threading.set_intra_op_parallelism_threads(config.threads)
    tf.config.threading.set_inter_op_parallelism_threads(config.threads)
  runtimes.configure(config)


def _do_missing(request: Request, cells: Sequence[Cell], cache: Cache) -> list[tuple[Cell, str]]:
  groups = steps.plan(cells, cache)
  if not groups:
    _say("everything is in the cache: nothing to train or attack")
    return []
  # That numbers would mix should be known now, not after hours of training.
  mixture.check(request, rows.of_cells(cache, cells), more_to_come=True)
  with cache.locked():
    # TensorFlow and TFF take seconds to import: only what computes pays for them.
    from fedsafe_tff.paper import work
    from fedsafe_tff.runs.prepare import prepare
    from fedsafe_tff.runtime.signals import graceful_stop

    _set_up(cells[0].config)
    estimate = steps.Estimate(steps.measured(cells, cache))
    to_come = [step for group in groups for step in steps.steps_of(group, cache)]
    failures = []
    with graceful_stop() as stop, SweepProgress(to_come, estimate, sys.stdout) as progress:
      progress.note(
        f"{len(cells)} cells, {sum(map(len, groups))} of them to be done, from {len(groups)} "
        f"trainings in {cache.folder}"
      )
      # What is wrong with a task's data should be known now, not after hours of another task.
      for first in {group[0].task: group[0] for group in reversed(groups)}.values():
        prepare(identity.training_config(first.config), progress.note)
      for group in groups:
        failed = work.do_group(group, cache, progress, stop)
        for cell, reason in failed:
          progress.note(f"{cell.title()}: {reason}")
        failures += failed
    return failures
