"""Two runs on the same images: who loses which, and whether that can be chance."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.evaluation.statistics import PairedRates, mcnemar
from fedsafe_tff.runs.report.render import markdown, plain
from fedsafe_tff.runs.report.run_folder import RunFolder

_HEADINGS = [
  "first", "second", "attack", "eps", "copies", "images", "robust, first / second",
  "by the first alone / the second alone", "difference", "odds ratio", "p",
]  # fmt: skip
_SIDES = {"self": "own", "avg": "others'"}
_TEXT = (
  "On the same images (McNemar's exact test, of each pair and not corrected for their number; "
  "difference with 95 % interval, Bonett and Price): an image is robust where every copy still "
  "gets it right. It tells what other images would give, not other trainings."
)


def table(runs: Sequence[RunFolder], names: Sequence[str]) -> str:
  """A Markdown table of the pairs of runs that were attacked on the same images, with its legend.

  Args:
    runs: The runs.
    names: What each is called.

  Returns:
    "" where there is no such pair.
  """
  rows = []
  for (one, first), (other, second) in itertools.combinations(zip(names, runs), 2):
    for (attack, eps, side), found in pairs(first, second).items():
      rows.append(
        [
          plain(one), plain(other), plain(attack), f"{eps:g}", _SIDES[side], str(found.count),
          f"{found.first:.3f} / {found.second:.3f}", f"{found.only_first} / {found.only_second}",
          f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]",
          "-" if math.isnan(found.odds_ratio) else f"{found.odds_ratio:.2g}",
          "<0.001" if found.p < 0.001 else f"{found.p:.3f}",
        ]
      )  # fmt: skip
  return f"{_TEXT}\n\n{markdown(_HEADINGS, rows)}" if rows else ""


def pairs(first: RunFolder, second: RunFolder) -> dict[tuple[str, float, str], PairedRates]:
  """By attack, size and side ("self" or "avg") the shares of robust images, and what differs.

  Empty where the runs have other data, or were attacked on other images.
  """
  known = [run.manifest.get("data_hash") for run in (first, second)]
  if known[0] is None or known[0] != known[1]:
    return {}
  one, other = _robust(first), _robust(second)
  return {
    key: mcnemar(np.array(list(one[key].values())), np.array(list(other[key].values())))
    for key in one
    if key in other and list(one[key]) == list(other[key])
  }


def _robust(run: RunFolder) -> dict[tuple[str, float, str], dict[int, bool]]:
  """By attack, size and side, image by image, whether every copy is right."""
  made: dict[tuple[str, float, str], dict[int, bool]] = {}
  suite = run.evaluation.get("evaluation", "paper")
  for row in run.images:
    # Of a suite these are what all its attacks get together, which may be more in one of two runs.
    attack = str(row.get("attack")) if suite == "paper" else f"all of {suite}"
    for side in _SIDES:
      if row.get(f"right_{side}") is not None:
        key = (attack, row["eps"], side)
        made.setdefault(key, {})[int(row["image"])] = row[f"right_{side}"] == 1.0
  return made
