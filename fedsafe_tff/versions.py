"""Versions of what decides about numbers besides the settings: keys, splits and definitions.

Equal settings give other numbers where one of them differs. Manifests and evaluations hold them
as `result_versions`; what was made before there were any has version 1 of all.

  keys: how the randomness of TensorFlow follows from the seed (`fedsafe_tff.keys`)
  splits: which image falls to which part and client (`data.splits`)
  definitions: what the numbers of an evaluation mean (`evaluation.definitions`)
  attackers: what attackers of a suite hold (`evaluation.suites`)
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fedsafe_tff.data import splits
from fedsafe_tff.evaluation import definitions

# What can't be told apart afterwards: another definition's numbers are translated or left out.
DRAWN = ("keys", "splits")
_SHOWN = 3  # names of a kind in an error


def current() -> dict[str, int]:
  """Those of this code."""
  # TensorFlow takes seconds, and who only reads needs none.
  from fedsafe_tff import keys
  from fedsafe_tff.evaluation import suites

  return {
    "keys": keys.VERSION,
    "splits": splits.VERSION,
    "definitions": definitions.VERSION,
    "attackers": suites.VERSION,
  }


def of_models() -> dict[str, int]:
  """Those that models depend on, and what is kept of making them: of attackers they do not."""
  return {name: number for name, number in current().items() if name != "attackers"}


def drawn_by(facts: Mapping[str, Any]) -> dict[str, int]:
  """Keys and splits of a manifest or an evaluation."""
  told = facts.get("result_versions", {})
  return {name: told.get(name, 1) for name in DRAWN}


def text(versions: Mapping[str, int]) -> str:
  """Versions in words, such as "keys 2, splits 1"."""
  return ", ".join(f"{name} {number}" for name, number in versions.items())


def differ_from_current(facts: Mapping[str, Any]) -> str:
  """What of keys and splits differs from this code's, in words; "" where nothing does."""
  before, now = drawn_by(facts), current()
  return ", ".join(
    f"{name} {before[name]} (here {now[name]})" for name in DRAWN if before[name] != now[name]
  )


def mixture(named: Iterable[tuple[str, Mapping[str, int]]]) -> str:
  """Which of the named things have which versions, in words; "" where all have the same."""
  groups: dict[str, dict[str, None]] = {}
  for name, versions in named:
    groups.setdefault(text(versions), {})[name] = None
  if len(groups) < 2:
    return ""
  told = []
  for versions, names in groups.items():
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    told.append(f"{versions}: {', '.join(list(names)[:_SHOWN])}{more}")
  return "; ".join(told)
