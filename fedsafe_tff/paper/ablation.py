"""Studies of settings that the paper leaves open or does not vary."""

import pathlib
from typing import Any

from fedsafe_tff.paper import leak, robustness_claims, statistics
from fedsafe_tff.paper.cells import Cell, make_cell, method_name
from fedsafe_tff.paper.claim import DEFENDED, DEFINITION
from fedsafe_tff.paper.report import Report, Section, overview, write_tables
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results, p_text, table_text
from fedsafe_tff.paper.studies import SIZES, STUDIES, Variant
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.report import render

TITLE = "What else decides: settings that the paper leaves open or does not vary"


def cells(request: Request) -> list[Cell]:
  """Every variant of the study with the methods that it concerns.

  Beside a preset as it is, a variant that changes nothing is left out: the preset has it already,
  or a setting has no effect on what it trains.
  """
  found = []
  for task in request.tasks:
    for seed in request.seeds:
      as_it_is: list[tuple[str, Config]] | None = None
      for variant in STUDIES[request.study][1]:
        made = [
          make_cell(
            request,
            task,
            method,
            seed,
            eps=SIZES,
            variant=variant.name,
            changes=_changes(variant, task.config),
            dp=variant.dp,
            eps_scale=variant.eps_scale,
          )
          for method in variant.methods
        ]
        if as_it_is is None:
          # A first variant with changes of its own is not the preset: nothing is left out then.
          as_it_is = [] if variant.changes else [(cell.method, cell.config) for cell in made]
        elif all((cell.method, cell.config) in as_it_is for cell in made):
          continue
        found += made
  return found


def _changes(variant: Variant, config: Config) -> dict[str, Any]:
  made = dict(variant.changes)
  if variant.scales_adaptation:
    made["adaptation_eps"] = config.adaptation_eps * variant.eps_scale
  if variant.rounds != 1:
    made["rounds"] = max(1, round(config.rounds * variant.rounds))
  return made


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """What varies, what it changes, what of the paper's claims hangs on it, and all cells."""
  sections = [
    Section(f"Study: {request.study}", STUDIES[request.study][0] + "\n"),
    _changed(results, folder),
  ]
  worth = leak.section(results, folder)
  if worth is not None:
    sections.append(worth)
  if results.select(method=DEFENDED[0]) and results.select(method=DEFENDED[1]):
    sections.append(_verdicts(results))
  return Report((*sections, overview(results, folder)))


def _changed(results: Results, folder: pathlib.Path) -> Section:
  """Every variant against the first, where it made another evaluation.

  One without effect, as the noise of a method that has none, would be a difference of 0 for sure,
  and count in Holm's correction of those that may be one.
  """
  variants = results.distinct("variant")
  cells = [
    {"task": task, "method": method, "eps": eps, "against": variant, "metric": metric}
    for variant in variants[1:]
    for task in results.distinct("task", variant=variant)
    for method in results.distinct("method", task=task, variant=variant)
    for eps in results.distinct("eps", task=task, method=method, variant=variant)
    if not _same(results, variants[0], variant, task=task, method=method, eps=eps)
    for metric in ("clean_accuracy", "asr_self", "asr_avg")
  ]
  rows, records = [], []
  compared = [
    results.compare(
      cell["metric"],
      {"variant": variants[0]},
      {"variant": cell["against"]},
      **{name: cell[name] for name in ("task", "method", "eps")},
    )
    for cell in cells
  ]
  adjusted = statistics.holm([c.p if c else None for c in compared])
  for cell, found, p in zip(cells, compared, adjusted):
    if found is not None:
      rows.append(
        [
          cell["task"],
          method_name(cell["method"]),
          f"{cell['eps']:g}",
          cell["against"],
          cell["metric"],
          table_text(found.first),
          table_text(found.second),
          table_text(found.difference),
          p_text(found.p),
          p_text(p),
          str(found.difference.count),
        ]  # fmt: skip
      )
      records.append(
        {
          **cell,
          "first": found.first.mean,
          "second": found.second.mean,
          "difference": found.difference.mean,
          "half_width": found.difference.half_width,
          "p": found.p,
          "p_holm": p,
          "seeds": found.difference.count,
        }  # fmt: skip
      )
  first = variants[0] if variants else "-"
  headings = ["task", "method", "eps", "variant", "number", first, "variant's", "difference", "p",
              "p (Holm)", "seeds"]  # fmt: skip
  title = f"Against: {first}"
  text = write_tables(folder, "changes", headings, rows, records, title)
  note = "Paired by seed; Holm's correction is over all rows.\n\n"
  return Section(title, note + text)


def _same(results: Results, first: str, second: str, **where: Any) -> bool:
  left, right = (
    {row["evaluation"] for row in results.select(variant=variant, **where)}
    for variant in (first, second)
  )
  return left == right


def _verdicts(results: Results) -> Section:
  """The claims on distributed noise, under every variant and both readings of the rate."""
  rows = []
  for variant in results.distinct("variant"):
    for name, suffix in (("all images", ""), ("images that the model gets right", "_correct")):
      here = Results(results.select(variant=variant)).reading(suffix)
      claims = (*robustness_claims.against(here), robustness_claims.self_over_avg(here))
      rows.append([variant, name, *(claim.verdict for claim in claims)])
  headings = ["variant", "rate of", *(claim.text for claim in claims)]
  return Section("The paper's claims", f"{render.markdown(headings, rows)}\n{DEFINITION}\n")
