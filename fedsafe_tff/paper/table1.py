"""Table 1: distributed noise against adversarial training, and two rows that the paper lacks."""

import pathlib
from typing import Any

from fedsafe_tff.paper import paper, robustness_claims, versus
from fedsafe_tff.paper.cells import Cell, make_cell, method_name, methods_of
from fedsafe_tff.paper.claim import DEFENDED, Claim
from fedsafe_tff.paper.report import Report, Section, overview, readings, write_tables
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results, mark, table_text
from fedsafe_tff.runs.report import render

TITLE = "Table 1: ASR (self/avg), adversarial training against distributed noise"
LOCAL = "local_adversarial_training"
METHODS = ("none", LOCAL, *DEFENDED)
# Where attackers know the defence, what noise does without adaptation is a question of its own.
UNDER_SUITES = (*METHODS, "noise_only")
# Made where it is named: the letter's presets have no settings for it that anybody chose.
ASKED_FOR = ("combined",)


def cells(request: Request) -> list[Cell]:
  """Every task, seed and method at the paper's four sizes."""
  methods = METHODS if request.evaluation == "paper" else UNDER_SUITES
  methods += tuple(method for method in ASKED_FOR if method in request.methods)
  return [
    make_cell(request, task, method, seed, eps=paper.EPS_TABLE1)
    for task in request.tasks
    for seed in request.seeds
    for method in methods_of(request, methods)
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """The paper's cells beside ours, the claims in both readings, then all methods."""
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
  legend = versus.NOTE + results.one_seed_note() + results.unjudged_note()
  text = write_tables(folder, "table1", headings, rows, records, f"{TITLE}. {legend}")
  kinds = (
    "The paper says that adversarial training can be local or at the server, not which its table "
    "has. Here it is that at the server, which differs from distributed noise in the downlink "
    "alone; local adversarial training stands among all cells and in the claims. "
  )
  sections = (
    Section("Beside the paper", f"{kinds}{legend}\n\n{text}\n{versus.agreement(entries)}\n"),
    *_other_defences(results),
    readings(claims, results),
    overview(results, folder),
  )
  return Report(sections, claims(results))


def _other_defences(results: Results) -> list[Section]:
  """Defences that the paper's table lacks, beside its values; none where none was made."""
  methods = [m for m in results.distinct("method") if m not in (*DEFENDED, "none", "noise_only")]
  rows = []
  for task in results.distinct("task"):
    for eps in results.distinct("eps", task=task):
      theirs = paper.TABLE1.get(task, {}).get(eps)
      for metric, name in versus.METRIC_NAMES.items() if theirs and methods else ():
        values = [pair.of(metric) for pair in theirs]
        where = {"task": task, "eps": eps, "metric": metric}
        cells = [_cell(results, values, method=method, **where) for method in methods]
        rows.append([task, f"{eps:g}", name, *(f"{value:.2f}" for value in values), *cells])
  if not rows:
    return []
  headings = ["task", "eps", "ASR", "adv. training, paper", "distr. noise, paper"]
  text = render.markdown([*headings, *map(method_name, methods)], rows)
  legend = (
    "Defences that the paper's table does not have, under this page's evaluation. +: the mean is "
    "below both of the paper's values; (+): below that of adversarial training alone."
  )
  return [Section("Other defences beside the paper's values", f"{legend}\n\n{text}")]


def _cell(results: Results, paper_values: list[float], *, metric: str, **where: Any) -> str:
  found = results.estimate(metric, **where)
  if found is None:
    return "-"
  below = [found.mean < value for value in paper_values]
  sign = " +" if all(below) else " (+)" if below[0] else ""
  marks = mark(len(results.collapsed(**where)), len(results.unjudged(**where)))
  return table_text(found) + ("" if marks else sign) + marks


def claims(results: Results) -> tuple[Claim, ...]:
  """The claims that the paper's Table 1 and the text on it make."""
  return (
    *robustness_claims.against(results),
    *robustness_claims.against(results, LOCAL),
    robustness_claims.self_over_avg(results),
    robustness_claims.undefended_transfers(results),
    robustness_claims.grows_with_eps(results),
    robustness_claims.keeps_accuracy(results),
  )


def _paper(labels: dict) -> tuple[float, float] | None:
  pair = paper.TABLE1.get(labels["task"], {}).get(labels["eps"])
  return None if pair is None else tuple(p.of(labels["metric"]) for p in pair)
