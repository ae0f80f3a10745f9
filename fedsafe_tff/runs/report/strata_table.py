"""Results by site and patient as rows of a table, and the inventory of the data in words."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
  ("attack", "attack"),
  ("eps", "eps"),
  ("site", "site"),
  ("unit", "unit"),
  ("count", "count"),
  ("accuracy", "accuracy"),
  ("asr_self", "ASR self"),
  ("asr_avg", "ASR avg"),
  ("attack_accuracy_self", "acc. self"),
  ("attack_accuracy_avg", "acc. avg"),
)
LEGEND = (
  "Each value with its 95 % interval of Wilson over patients (over images where no patient is "
  "known). A patient's label is that of most of its slices. held out: nobody learnt from this site."
)


def rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
  """The cells of `evaluation["strata"]`, line by line under `COLUMNS`."""
  return [[_cell(entry, name) for name, _ in COLUMNS] for entry in evaluation.get("strata", [])]


def _cell(entry: Mapping[str, Any], name: str) -> str:
  value = entry.get(name)
  if value is None:
    return "-"
  if name == "eps":
    return f"{value:g}"
  if name == "site":
    return f"{value} (held out)" if entry.get("held_out") == "yes" else str(value)
  if not isinstance(value, float):
    return str(value)
  low, high = entry.get(f"{name}_low"), entry.get(f"{name}_high")
  return f"{value:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def left_out(inventory: Mapping[str, Any], most: int = 20) -> Sequence[Sequence[str]]:
  """(reason, how many, some names) of the files that were left out."""
  reasons: dict[str, list[str]] = {}
  for name, reason in inventory.get("left_out", []):
    reasons.setdefault(reason, []).append(name)
  return [
    (reason, str(len(names)), ", ".join(names[:most]) + (", ..." if len(names) > most else ""))
    for reason, names in reasons.items()
  ]
