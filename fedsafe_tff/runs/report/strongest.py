"""Who attacks best: of a run's attackers those that change most labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.runs.report.run_folder import OWN_COPY

_ALL = "worst"  # what all attackers get together


def worst_rows(evaluation: Mapping[str, Any]) -> dict[float, Mapping[str, Any]]:
  """By size what all attackers get together, or the worst of the paper's attacks."""
  results = evaluation["results"]
  last = results[-1].get("attacker", OWN_COPY)
  found: dict[float, Mapping[str, Any]] = {}
  for row in results:
    before = found.get(row["eps"])
    if row.get("attacker", OWN_COPY) != last:
      continue
    if before is None or row["asr_self"] > before["asr_self"]:
      found[row["eps"]] = row
  return found


def attackers(evaluation: Mapping[str, Any]) -> list[str]:
  """Names of the attackers that there were, in their order."""
  names = dict.fromkeys(row.get("attacker", OWN_COPY) for row in evaluation.get("results", []))
  return [name for name in names if name != _ALL]


def strongest(evaluation: Mapping[str, Any], eps: float, side: str) -> str:
  """The attacker that changes most labels of a side at a size; of the paper's, the attack."""
  rows = [r for r in evaluation["results"] if r["eps"] == eps and r.get("attacker") != _ALL]
  rows = [r for r in rows if r.get(f"asr_{side}") is not None]
  if not rows:
    return "-"
  best = max(rows, key=lambda row: row[f"asr_{side}"])
  alone = len(attackers(evaluation)) == 1 and not best["attack"].startswith("worst of")
  return best["attack"] if alone else best.get("attacker", OWN_COPY)


def table(evaluations: Sequence[Mapping[str, Any]], eps: float) -> list[list[str]]:
  """A row per attacker: what each run loses to it at a size, self / avg; the last of all together.

  Empty where no run had several attackers, or they were attacked otherwise: by another suite, on
  other numbers of images, or not at that size.
  """
  told = {(e.get("evaluation"), e.get("attacked_images")) for e in evaluations}
  several = any(len(attackers(evaluation)) > 1 for evaluation in evaluations)
  if len(told) > 1 or not several or any(eps not in worst_rows(e) for e in evaluations):
    return []
  names = dict.fromkeys(name for evaluation in evaluations for name in attackers(evaluation))
  rows = [[name, *(_rates(evaluation, name, eps) for evaluation in evaluations)] for name in names]
  together = [_pair(worst_rows(evaluation).get(eps)) for evaluation in evaluations]
  return [*rows, ["all of them", *together]]


def _rates(evaluation: Mapping[str, Any], attacker: str, eps: float) -> str:
  rows = [
    row for row in evaluation["results"]
    if row["eps"] == eps and row.get("attacker", OWN_COPY) == attacker
  ]  # fmt: skip
  return _pair(max(rows, key=lambda row: row["asr_self"]) if rows else None)


def _pair(row: Mapping[str, Any] | None) -> str:
  return "-" if row is None else pair(row.get("asr_self"), row.get("asr_avg"))


def pair(left: float | None, right: float | None) -> str:
  """Two numbers as they stand in a table."""
  return " / ".join("-" if value is None else f"{value:.3f}" for value in (left, right))
