"""Audits of several runs beside each other: does a defence, or a mechanism, leak more or less?"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.privacy.audit import membership as attacks
from fedsafe_tff.runs import membership, run_dir
from fedsafe_tff.runs.audit import FOLDER, Effort, Log, audit_run
from fedsafe_tff.runs.report import audit_table, render
from fedsafe_tff.runs.report.run_folder import RunFolder

NAME = "compared"


def audit_runs(
  paths: Sequence[str | pathlib.Path], effort: Effort, log: Log = print, **moved: Any
) -> tuple[list[dict[str, Any]], str]:
  """Audits runs, or takes audits of this effort that lie in their folders, and compares them.

  The table goes into `audit/compared.md` and `audit/compared.json` of the first run, which all
  are compared with.

  Args:
    paths: The run folders.
    effort: How much to do, of each.
    log: Is told what is done.
    **moved: Settings of where things lie now, such as `data_dir`.

  Returns:
    What `audit.json` holds, of each run, and the table as Markdown.

  Raises:
    UserError: As `audit_run`.
    Stopped: As `audit_run`; audits that were finished are taken up by the same call.
  """
  found = []
  for number, path in enumerate(paths, 1):
    log(f"run {number} of {len(paths)}: {path}")
    found.append(audit_run(path, effort, log, reuse=True, **moved))
  runs = [RunFolder.read(path) for path in paths]
  scores = [membership.Scores.load(run.path / FOLDER) for run in runs]
  audits = [
    audit_table.Audited(run, each, _rows(each, runs[0], run, scores[0], own, found[0]))
    for run, each, own in zip(runs, found, scores)
  ]
  text = audit_table.table(audits)
  out = runs[0].path / FOLDER
  render.write_text(out / f"{NAME}.md", f"# Privacy audits\n\n{text}")
  facts = [
    {
      "run": str(each.run.path),
      "title": each.run.title(),
      "privacy": each.run.privacy.get("now"),
      "models": [dataclasses.asdict(row) for row in each.rows],
      "inversion": each.found["inversion"],
      "one_run": each.found["one_run"],
    }
    for each in audits
  ]
  run_dir.write_json(
    out / f"{NAME}.json",
    run_dir.without_nan({"effort": dataclasses.asdict(effort), "runs": facts}),
  )
  return found, text


def _rows(
  found: Mapping[str, Any], first: RunFolder, run: RunFolder,
  first_scores: membership.Scores, scores: membership.Scores, first_found: Mapping[str, Any],
) -> list[audit_table.Row]:  # fmt: skip
  """A row per model of a run, against the global model of the first run."""
  same = first.manifest.get("data_hash") == run.manifest.get("data_hash")
  base = _best(first_found, membership.GLOBAL)
  made = []
  for model in dict.fromkeys(row["model"] for row in found["membership"]):
    best = _best(found, model)
    differences = [None, None]
    if run is not first or model != membership.GLOBAL:
      differences = [
        _difference(
          scores.of(model, one["attack"]), first_scores.of(membership.GLOBAL, other["attack"]), same
        )
        if one and other
        else None
        for one, other in zip(best, base)
      ]
    made.append(audit_table.Row(model, *best, *differences))
  return made


def _best(found: Mapping[str, Any], model: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
  """The best threshold on a model, and LiRA, if there is one."""
  rows = [row for row in found["membership"] if row["model"] == model]
  thresholds = [row for row in rows if row["attack"].startswith(attacks.THRESHOLD)]
  lira = [row for row in rows if row["attack"] == membership.LIRA]
  return max(thresholds, key=lambda row: row["auc"]), lira[0] if lira else None


def _difference(one, other, same: bool) -> dict[str, Any]:
  """Of scores, truth and rows of two models; `same` where their images are of one data set."""
  one, other = (tuple(part[np.argsort(side[2])] for part in side) for side in (one, other))
  paired = same and all(np.array_equal(a, b) for a, b in zip(one[1:], other[1:]))
  made = attacks.difference(*one[:2], *other[:2], paired=paired)
  return dataclasses.asdict(made)
