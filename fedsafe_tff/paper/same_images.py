"""Pairs of defences on the same images: McNemar's test over the images of all seeds."""

import itertools
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.evaluation.statistics import PairedRates, mcnemar
from fedsafe_tff.paper import statistics
from fedsafe_tff.paper.cells import method_name
from fedsafe_tff.paper.report import Section, write_tables
from fedsafe_tff.paper.results import p_text
from fedsafe_tff.paper.rows import BY_IMAGE

Row = dict[str, Any]
TITLE = "The same images under two defences"
_SIDES = {"self": "own", "avg": "another's"}
_HEADINGS = [
  "task", "eps", "copies", "first", "second", "images", "seeds", "robust, first / second",
  "by the first alone / the second alone", "difference", "odds ratio", "p", "p (Holm)",
]  # fmt: skip
_LEGEND = (
  "McNemar's exact test: whether one model is right under all of the suite's attacks where the "
  "other is not, of the first client on its own copy and on the first copy that it does not hold "
  "(so rates are those of one copy, and not the means above). Images are those of all seeds that "
  "both have; Holm's correction is over all rows, the difference has a 95 % interval (Bonett and "
  "Price). It tells what other images would give: other trainings are what seeds are for."
)


def sections(totals: Sequence[Row], folder: pathlib.Path) -> list[Section]:
  """The table of all pairs; none where there is no pair, or images are not independent.

  Args:
    totals: Of each cell, size and seed what all attackers get together, with `BY_IMAGE`.
    folder: Where the table is written.
  """
  found = list(_pairs(totals))
  if not found:
    return []
  adjusted = statistics.holm([rates.p for _, rates in found])
  lines, records = [], []
  for (where, rates), p_holm in zip(found, adjusted):
    ratio = "-" if math.isnan(rates.odds_ratio) else f"{rates.odds_ratio:.2g}"
    lines.append(
      [
        where["task"], f"{where['eps']:g}", _SIDES[where["side"]], where["first"], where["second"],
        str(rates.count), str(where["seeds"]), f"{rates.first:.3f} / {rates.second:.3f}",
        f"{rates.only_first} / {rates.only_second}",
        f"{rates.difference:+.3f} [{rates.low:+.3f}, {rates.high:+.3f}]", ratio,
        p_text(rates.p), p_text(p_holm),
      ]
    )  # fmt: skip
    records.append(
      where
      | {"images": rates.count, "robust_first": rates.first, "robust_second": rates.second}
      | {"only_first": rates.only_first, "only_second": rates.only_second}
      | {"difference": rates.difference, "low": rates.low, "high": rates.high}
      | {"p": rates.p, "p_holm": p_holm}
    )
  text = write_tables(folder, "pairs", _HEADINGS, lines, records, TITLE)
  return [Section(TITLE, f"{_LEGEND}\n\n{text}")]


def _pairs(totals: Sequence[Row]) -> Iterator[tuple[dict[str, Any], PairedRates]]:
  # By place and side, then by cell, to its outcomes by seed and images.
  right: dict[tuple, dict[tuple[str, str], dict[tuple, str]]] = {}
  for row in totals:
    told = {} if row.get("images_of_patients") else row.get(BY_IMAGE) or {}
    for side in _SIDES:
      if told.get(side):
        cells = right.setdefault((row["task"], row["eps"], side), {})
        found = cells.setdefault((row["method"], row["variant"]), {})
        found[row["seed"], told.get("images")] = told[side]
  for (task, eps, side), cells in right.items():
    first_variant = next(iter(cells))[1]
    for (one, first), (other, second) in itertools.combinations(cells.items(), 2):
      # Of a study's variants each stands against the first one, and not against all others.
      if one[1] != other[1] and not (one[0] == other[0] and one[1] == first_variant):
        continue
      same = [key for key in first if key in second]
      if not same:
        continue
      outcomes = [np.array([c == "1" for key in same for c in by[key]]) for by in (first, second)]
      where = {"task": task, "eps": eps, "side": side, "first": _name(one), "second": _name(other)}
      yield where | {"seeds": len(same)}, mcnemar(*outcomes)


def _name(cell: tuple[str, str]) -> str:
  return ", ".join(part for part in (method_name(cell[0]), cell[1]) if part)
