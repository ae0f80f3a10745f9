"""Two runs on the same images: who loses which, and whether that can be chance."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.evaluation.statistics import PairedRates, mcnemar
from fedsafe_tff.runs.report.render import markdown, plain
from fedsafe_tff.runs.report.run_folder import OWN_COPY, Row, RunFolder

_HEADINGS = [
  "first", "second", "attacks", "eps", "copies", "images", "robust, first / second",
  "by the first alone / the second alone", "difference", "odds ratio", "p",
]  # fmt: skip
_SIDES = {"self": "own", "avg": "another's"}
_TEXT = (
  "On the same images, McNemar's exact test: whether one model is right on what an attacker made "
  "where the other is not, of the first client on its own copy and on the first copy that it does "
  "not hold. So rates are those of one copy and not the means above; two runs may lack different "
  "attackers of a suite. p is of each pair, not corrected for their number; the difference has a "
  "95 % interval (Bonett and Price). It tells what other images would give, not other trainings."
)
# What the attacks of the paper's evaluation depend on besides name and size.
_PAPERS = ("attack_steps", "attack_step_size", "attack_random_start", "attack_restarts")
_EVERY = ("attack_labels", "attack_colluders")  # what a suite's depend on too
Outcomes = dict[tuple[str, float, str], dict[int, bool]]


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
  """By attacks, size and side ("self" or "avg") the shares of robust images, and what differs.

  Of the runs' own evaluations and of later ones by the same name. Empty where the runs have other
  data, were attacked on other images or otherwise, or where patients have several images.
  """
  known = [run.manifest.get("data_hash") for run in (first, second)]
  if known[0] is None or known[0] != known[1]:
    return {}
  if any(first.config.get(name) != second.config.get(name) for name in _EVERY):
    return {}
  one, other = _outcomes(first), _outcomes(second)
  if any(first.config.get(name) != second.config.get(name) for name in _PAPERS):
    one = {key: values for key, values in one.items() if key[0].startswith("all of ")}
  return {
    key: mcnemar(np.array(list(one[key].values())), np.array(list(other[key].values())))
    for key in one
    if key in other and list(one[key]) == list(other[key])
  }


def _outcomes(run: RunFolder) -> Outcomes:
  found = _robust(run.images, run.evaluation, "")
  for name, rows in run.images_again.items():
    found |= _robust(rows, run.again.get(name, {}), name)
  return found


def _robust(rows: Sequence[Row], evaluation: Mapping[str, Any], name: str) -> Outcomes:
  """By attacks, size and side, image by image, whether a copy is right."""
  made: Outcomes = {}
  results = evaluation.get("results", [])
  if not any(result.get("intervals") for result in results):
    return made  # images of one patient are no independent ones
  suite = evaluation.get("evaluation", "paper")
  for row in rows:
    # Of a suite these are what all its attacks get together.
    attack = f"all of {name or suite}"
    if suite == "paper":
      attack = f"{row.get('attack')}, {row.get('attacker', OWN_COPY)}"
    for side in _SIDES:
      if row.get(f"one_{side}") is not None:
        of_images = made.setdefault((attack, row["eps"], side), {})
        of_images[int(row["image"])] = row[f"one_{side}"] == 1.0
  return made
