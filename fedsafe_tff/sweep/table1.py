"""Table 1: distributed noise against adversarial training, and two rows that the paper lacks."""

import pathlib

from fedsafe_tff.sweep import paper, robustness_claims, versus
from fedsafe_tff.sweep.cells import Cell, make_cell
from fedsafe_tff.sweep.claim import DEFENDED
from fedsafe_tff.sweep.report import Report, Section, overview, write_tables
from fedsafe_tff.sweep.request import Request
from fedsafe_tff.sweep.results import Results

TITLE = "Table 1: ASR (self/avg), adversarial training against distributed noise"
METHODS = ("none", "local_adversarial_training", *DEFENDED)


def cells(request: Request) -> list[Cell]:
  """Every task, seed and method at the paper's four sizes."""
  return [
    make_cell(request, task, method, seed, eps=paper.EPS_TABLE1)
    for task in request.tasks
    for seed in request.seeds
    for method in METHODS
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """The paper's cells beside ours, then all methods."""
  del request
  labels = [
    {"task": task, "eps": eps, "metric": metric}
    for task in results.distinct("task")
    for eps in results.distinct("eps", task=task)
    for metric in versus.METRIC_NAMES
  ]
  first, second = ({"method": method} for method in DEFENDED)
  entries = versus.versus(results, labels, first, second, _paper)
  headings = versus.headings(("task", "eps", "ASR"), "adv. training", "distr. noise")
  rows, records = versus.table_rows(entries), versus.csv_rows(entries)
  text = write_tables(folder, "table1", headings, rows, records, TITLE)
  note = (
    "Difference: distributed noise less adversarial training, paired by seed, with a paired "
    "t-test; Holm's correction is over all rows. Differences up to 0.005 are called same."
  )
  claims = (
    robustness_claims.reduction(results, "asr_self", paper.SELF_REDUCTION),
    robustness_claims.reduction(results, "asr_avg", paper.AVG_REDUCTION),
    robustness_claims.comparable(results),
    robustness_claims.self_over_avg(results),
    robustness_claims.undefended_transfers(results),
    robustness_claims.grows_with_eps(results),
    robustness_claims.keeps_accuracy(results),
  )
  sections = (
    Section("Beside the paper", f"{note}\n\n{text}\n{versus.agreement(entries)}\n"),
    overview(results, folder),
  )
  return Report(sections, claims)


def _paper(labels: dict) -> tuple[float, float] | None:
  pair = paper.TABLE1.get(labels["task"], {}).get(labels["eps"])
  return None if pair is None else tuple(p.of(labels["metric"]) for p in pair)
