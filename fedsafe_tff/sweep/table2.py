"""Table 2: the effect of differential privacy on both methods."""

import dataclasses
import pathlib

from fedsafe_tff.sweep import adaptation_claims, paper, versus
from fedsafe_tff.sweep.adaptation_claims import WITH_DP, WITHOUT_DP
from fedsafe_tff.sweep.cache import Cache, read_json
from fedsafe_tff.sweep.cells import METHODS, Cell, make_cell
from fedsafe_tff.sweep.claim import DEFENDED
from fedsafe_tff.sweep.report import Report, Section, overview, write_tables
from fedsafe_tff.sweep.request import Request
from fedsafe_tff.sweep.results import Results

TITLE = "Table 2: average ASR without and with differential privacy"


def cells(request: Request) -> list[Cell]:
  """Both methods, each without and with DP, at the paper's four sizes."""
  return [
    make_cell(
      request, task, method, seed, eps=paper.EPS_TABLE2, variant=variant, dp=variant == WITH_DP
    )
    for task in request.tasks
    for seed in request.seeds
    for variant in (WITHOUT_DP, WITH_DP)
    for method in DEFENDED
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """A row per task, method and size, and the averages over sizes."""
  groups = [
    (task, method)
    for task in results.distinct("task")
    for method in results.distinct("method", task=task)
  ]
  single, averages = [], []
  for task, method in groups:
    labels = {"task": task, "method": method}
    averages.append({**labels, "metric": "asr_avg"})
    for eps in results.distinct("eps", **labels):
      single.append({**labels, "eps": eps, "metric": "asr_avg"})
  first, second = {"variant": WITHOUT_DP}, {"variant": WITH_DP}
  entries = versus.versus(results, single, first, second, _paper)
  means = [
    dataclasses.replace(e, labels={n: e.labels.get(n, "average") for n in entries[0].labels})
    for e in versus.versus(results, averages, first, second, _paper_average)
  ]
  both = [
    entry
    for task, method in groups
    for entry in (*entries, *means)
    if (entry.labels["task"], entry.labels["method"]) == (task, method)
  ]
  rows, records = versus.table_rows(both), versus.csv_rows(both)
  for row in rows:
    row[1] = METHODS[row[1]][0]
  headings = versus.headings(("task", "method", "eps", "ASR"), "no DP", "DP")
  text = write_tables(folder, "table2", headings, rows, records, TITLE)
  note = (
    "The paper does not say for which method its values are: they stand beside both. Difference: "
    "with DP less without, paired by seed. Holm's correction is over the single sizes and over "
    "the averages separately."
  )
  claims = (adaptation_claims.dp_lowers(results), adaptation_claims.perfect_with_dp(results))
  sections = (
    Section("Beside the paper", f"{note}\n\n{text}\n{versus.agreement(both)}\n"),
    Section("What DP means here", _mechanism(request)),
    overview(results, folder),
  )
  return Report(sections, claims)


def _mechanism(request: Request) -> str:
  """What each task's noise guarantees, from the manifest of its first training with DP."""
  cache = Cache(request.cache)
  lines = []
  for task in request.tasks:
    found = [c for c in cells(request) if c.task == task.name and c.variant == WITH_DP]
    manifest = read_json(cache.training(found[0].config) / "manifest.json")
    statement = " ".join(manifest.get("privacy", ["not trained"]))
    lines.append(
      f"- {task.name}: clipping norm {found[0].config.clip_norm:g}, sigma "
      f"{manifest.get('noise', {}).get('uplink_sigma', 0.0):g} per uploaded weight. {statement}\n"
    )
  return "".join(lines)


def _paper(labels: dict) -> tuple[float, float] | None:
  return paper.TABLE2.get(labels["task"], {}).get(labels["eps"])


def _paper_average(labels: dict) -> tuple[float, float] | None:
  return paper.TABLE2_AVERAGE.get(labels["task"])
