"""Table 2: the effect of differential privacy on both methods."""

import dataclasses
import pathlib

from fedsafe_tff.paper import adaptation_claims, paper, versus
from fedsafe_tff.paper.adaptation_claims import WITH_DP, WITHOUT_DP
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import METHODS, Cell, make_cell
from fedsafe_tff.paper.claim import DEFENDED, Claim
from fedsafe_tff.paper.report import Report, Section, overview, readings, write_tables
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results

TITLE = "Table 2: average ASR without and with differential privacy"
_BOTH = "mean of both"


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
  """A row per task, method and size, the averages over sizes, and the mean of both methods."""
  extended = Results([*results.rows, *_both_methods(results)])
  groups = [
    (task, method)
    for task in extended.distinct("task")
    for method in extended.distinct("method", task=task)
  ]
  single, averages = [], []
  for task, method in groups:
    labels = {"task": task, "method": method}
    averages.append({**labels, "metric": "asr_avg"})
    for eps in extended.distinct("eps", **labels):
      single.append({**labels, "eps": eps, "metric": "asr_avg"})
  first, second = {"variant": WITHOUT_DP}, {"variant": WITH_DP}
  entries = versus.versus(extended, single, first, second, _paper)
  papers_sizes = set(results.distinct("eps")) == set(paper.EPS_TABLE2)
  means = [
    dataclasses.replace(e, labels={n: e.labels.get(n, "average") for n in entries[0].labels})
    for e in versus.versus(
      extended, averages, first, second, _paper_average if papers_sizes else lambda labels: None
    )
  ]
  both = [
    entry
    for task, method in groups
    for entry in (*entries, *means)
    if (entry.labels["task"], entry.labels["method"]) == (task, method)
  ]
  rows, records = versus.table_rows(both), versus.csv_rows(both)
  names = {**{key: name for key, (name, _) in METHODS.items()}, _BOTH: _BOTH}
  for row in rows:
    row[1] = names[row[1]]
  headings = versus.headings(("task", "method", "eps", "ASR"), "no DP", "DP")
  legend = versus.NOTE + results.one_seed_note() + results.unjudged_note()
  text = write_tables(folder, "table2", headings, rows, records, f"{TITLE}. {legend}")
  note = (
    "The paper does not say for which method its values are: they stand beside each, and beside "
    "the mean of both. Its table has no rows for glioma; its text says 0.0 throughout. Holm's "
    "correction is over the single sizes and over the averages separately. "
  )
  agreements = "".join(
    f"- {names[method]}: {versus.agreement([e for e in entries if e.labels['method'] == method])}\n"
    for method in dict.fromkeys(method for _, method in groups)
  )
  sections = (
    Section("Beside the paper", f"{note}{legend}\n\n{text}\n{agreements}"),
    readings(claims, results),
    Section("What DP means here", _mechanism(request)),
    overview(results, folder),
  )
  return Report(sections, claims(results))


def claims(results: Results) -> tuple[Claim, ...]:
  """The paper's claims about differential privacy."""
  return adaptation_claims.dp_lowers(results), adaptation_claims.perfect_with_dp(results)


def _both_methods(results: Results) -> list[dict]:
  """Rows of a method that is the mean of both, where both have been attacked."""
  rows = []
  one, other = ({_key(r): r for r in results.select(method=method)} for method in DEFENDED)
  for key in one.keys() & other.keys():
    numbers = {
      name: None if None in (value, other[key][name]) else (value + other[key][name]) / 2
      for name, value in one[key].items()
      if name.startswith(("asr_", "clean_accuracy"))
    }
    rows.append({**one[key], "method": _BOTH, **numbers})
  order = {_key(row): number for number, row in enumerate(results.select(method=DEFENDED[0]))}
  return sorted(rows, key=lambda row: order[_key(row)])


def _key(row: dict) -> tuple:
  return tuple(row[name] for name in ("task", "variant", "seed", "eps"))


def _mechanism(request: Request) -> str:
  """What each task's noise guarantees, from the manifest of its first training with DP."""
  cache = Cache.of(request)
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
