"""What each attacker of a suite gets, and all of them together: tables for any page."""

import pathlib
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.paper import same_images
from fedsafe_tff.paper.cells import method_name
from fedsafe_tff.paper.report import Section, picture, write_tables
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import COLLAPSED_NOTE, Results, mark, table_text
from fedsafe_tff.paper.rows import SECONDS
from fedsafe_tff.paper.statistics import Estimate
from fedsafe_tff.runs.report import pareto

Row = dict[str, Any]
_LABELS = ("task", "method", "variant", "eps")
_COLUMNS = (
  ("asr_self", "self"),
  ("asr_avg", "avg"),
  ("asr_self_correct", "self*"),
  ("asr_avg_correct", "avg*"),
  ("attack_accuracy_self", "robust acc. self"),
  ("attack_accuracy_avg", "robust acc. avg"),
)
_RATES = ("asr_self", "asr_avg")


def sections(rows: Sequence[Row], request: Request, folder: pathlib.Path) -> list[Section]:
  """The strongest attackers, a table for each attacker, who was left out, what may be masked.

  Args:
    rows: As `rows.of_attackers` makes them.
    request: What was asked for.
    folder: Where the tables are written.
  """
  if not rows:
    return []
  totals = _totals(rows)
  attackers = list(dict.fromkeys(row["attacker"] for row in rows))
  made = [_strongest(rows, totals, request, folder)]
  for attacker in attackers if len(attackers) > 1 else ():
    if attacker != totals[0]["attacker"]:
      made.append(_of(attacker, [r for r in rows if r["attacker"] == attacker], folder))
  made += same_images.sections(totals, folder)
  made += _frontier(totals, folder)
  made.append(Section("Who attacked, and what may be masked", _left_out(rows) + _masking(rows)))
  return made


def _totals(rows: Sequence[Row]) -> list[Row]:
  """Of each cell, size and seed the last row: what all attackers get together."""
  found = {tuple(row[name] for name in (*_LABELS, "seed")): row for row in rows}
  return list(found.values())


def _places(rows: Sequence[Row]) -> list[dict[str, Any]]:
  found = dict.fromkeys(tuple(row[name] for name in _LABELS) for row in rows)
  return [dict(zip(_LABELS, values)) for values in found]


def _strongest(
  rows: Sequence[Row], totals: Sequence[Row], request: Request, folder: pathlib.Path
) -> Section:
  together = Results(totals)
  lines, records = [], []
  for where in _places(totals):
    here = Results([row for row in rows if all(row[k] == v for k, v in where.items())])
    clean = together.estimate("clean_accuracy", **where)
    found = {metric: together.estimate(metric, **where) for metric, _ in _COLUMNS}
    first = {metric: _first(here, metric) for metric in _RATES}
    collapsed = len(together.collapsed(**where))
    lines.append(
      [
        *_names(where),
        table_text(clean) + mark(collapsed, len(together.unjudged(**where))),
        *(table_text(found[metric]) for metric, _ in _COLUMNS),
        *(_text(*first[metric]) for metric in _RATES),
        str(len(together.by_seed("clean_accuracy", **where))),
      ]
    )
    records.append(
      where
      | {"clean_accuracy": clean and clean.mean}
      | {metric: value and value.mean for metric, value in found.items()}
      | {f"{metric}_half_width": v and v.half_width for metric, v in found.items()}
      | {f"strongest_{metric}": name for metric, (name, _) in first.items()}
      | {f"strongest_{metric}_rate": v and v.mean for metric, (_, v) in first.items()}
      | {"collapsed": collapsed}
    )
  headings = ["task", "method", "variant", "eps", "clean acc.", *(t for _, t in _COLUMNS),
              "strongest, self", "strongest, avg", "seeds"]  # fmt: skip
  legend = (
    f"--evaluation={request.evaluation}. An image counts as lost if any attack of any attacker "
    "gets it; avg is over the clients whose copies none of them holds. strongest: the attacker "
    "with the highest mean rate, and that rate. Robust accuracy is that on the attacked images; * "
    "counts images that the attacked model gets right. Mean ± half-width of the 95 % t-interval "
    f"over seeds. {COLLAPSED_NOTE}{together.one_seed_note()}{together.unjudged_note()}"
  )
  text = _write(folder, "strongest", headings, lines, records, legend)
  return Section("Under the worst of all attackers", f"{legend}\n\n{text}")


def _frontier(totals: Sequence[Row], folder: pathlib.Path) -> list[Section]:
  """A picture per task that has more than one model: what each gives for what it takes."""
  together, pictures = Results(totals), []
  for task in together.distinct("task"):
    kinds = {(w["method"], w["variant"]) for w in _places(totals) if w["task"] == task}
    if len(kinds) < 2:
      continue
    sizes = together.distinct("eps", task=task)
    panels = [(eps, _points(together, task, eps)) for eps in sizes]
    path = pareto.draw(panels, folder / f"frontier_{task}.png")
    pictures.append(picture(folder, path, f"{task}: clean against robust accuracy"))
  if not pictures:
    return []
  legend = (
    "Means over seeds, both accuracies on the attacked images; the size of a mark is the time of "
    "its training, adaptation and healing (hollow: not measured), the line joins those that no "
    "other beats in both.\n\n"
  )
  return [Section("What robustness costs", legend + "\n".join(pictures))]


def _points(together: Results, task: str, eps: float) -> list[pareto.Point]:
  points = []
  for where in _places(together.select(task=task, eps=eps)):
    clean = together.estimate("clean_accuracy", **where)
    robust = together.estimate("attack_accuracy_self", **where)
    seconds = together.estimate(SECONDS, **where)
    if clean is not None and robust is not None:
      name = ", ".join(part for part in (method_name(where["method"]), where["variant"]) if part)
      # Such a model resists attacks because it hardly looks at the image.
      name += " (collapsed)" if together.collapsed(**where) else ""
      points.append(pareto.Point(name, clean.mean, robust.mean, seconds and seconds.mean))
  return points


def _first(rows: Results, metric: str) -> tuple[str, Estimate | None]:
  """The single attacker with the highest mean of a rate."""
  names = rows.distinct("attacker")
  found = {n: rows.estimate(metric, attacker=n) for n in names if n != "worst"}
  known = {name: value for name, value in found.items() if value is not None}
  if not known:
    return "", None
  name = max(known, key=lambda n: known[n].mean)
  return name, known[name]


def _of(attacker: str, rows: Sequence[Row], folder: pathlib.Path) -> Section:
  results = Results(rows)
  lines, records = [], []
  for where in _places(rows):
    found = {metric: results.estimate(metric, **where) for metric, _ in _COLUMNS}
    seeds = len(results.by_seed("clean_accuracy", **where))
    lines.append([*_names(where), *(table_text(v) for v in found.values()), str(seeds)])
    records.append(
      where
      | {"attacker": attacker, "seeds": seeds}
      | {metric: value and value.mean for metric, value in found.items()}
      | {f"{metric}_half_width": v and v.half_width for metric, v in found.items()}
    )
  headings = ["task", "method", "variant", "eps", *(t for _, t in _COLUMNS), "seeds"]
  title = f"Attacker {attacker}"
  name = f"attacker_{attacker}"
  text = _write(folder, name, headings, lines, records, title)
  note = results.one_seed_note().strip()
  return Section(title, f"{note}\n\n{text}" if note else text)


def _write(folder, name, headings, lines, records, caption) -> str:
  """The tables, without the column of variants where there are none."""
  if not any(line[2] for line in lines):
    headings = [*headings[:2], *headings[3:]]
    lines = [[*line[:2], *line[3:]] for line in lines]
  return write_tables(folder, name, headings, lines, records, caption)


def _names(where: dict[str, Any]) -> list[str]:
  return [where["task"], method_name(where["method"]), where["variant"], f"{where['eps']:g}"]


def _text(name: str, value: Estimate | None) -> str:
  return "-" if value is None else f"{name} {table_text(value)}"


def _left_out(rows: Sequence[Row]) -> str:
  """Which attackers there were not, for which methods, and why."""
  found: dict[tuple[str, str], dict[str, None]] = {}
  for row in rows:
    for attacker, reason in row["left_out"].items():
      found.setdefault((attacker, reason), {})[method_name(row["method"])] = None
  lines = [
    f"- left out: {attacker} ({reason}), for {', '.join(methods)}\n"
    for (attacker, reason), methods in found.items()
  ]
  told = {f"- {name}: {text}\n": None for row in rows for name, text in row["notes"].items()}
  return "".join([*(lines or ["- no attacker was left out\n"]), *told])


def _masking(rows: Sequence[Row]) -> str:
  """The cells whose robustness may only be hidden from the attacks."""
  failed: dict[str, dict[str, None]] = {}
  checked = {}
  for row in rows:
    cell = ", ".join(
      part
      for part in (row["task"], method_name(row["method"]), row["variant"], f"seed {row['seed']}")
      if part
    )
    checked[cell] = None
    for check in row["masking"].get("checks", []):
      if check["passed"] is False:
        failed.setdefault(cell, {})[f"{check['name']}: {check['text']}"] = None
    if row["masking"].get("passed") is None and "text" in row["masking"]:
      failed.setdefault(cell, {})[f"not checked: {row['masking']['text']}"] = None
  if not failed:
    return f"- masking: all checks passed in {len(checked)} of {len(checked)} models\n"
  lines = [f"- **may be masked**: {cell}: {'; '.join(told)}\n" for cell, told in failed.items()]
  passed = len(checked) - len(failed)
  return f"- masking: all checks passed in {passed} of {len(checked)} models\n" + "".join(lines)
