"""A claim of the paper, checked: it holds, holds in part, or does not hold here.

A claim *holds* when the numbers reach what it says and, where two methods are compared, chance is
excluded (paired t-test over seeds, Holm-adjusted over the claim's cells, 5 %). It *holds in part*
when the direction is there but smaller, uncertain or not everywhere.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.sweep.cells import ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE, METHODS
from fedsafe_tff.sweep.results import Results

HOLDS, PARTLY, FAILS, UNKNOWN = (
  "holds",
  "holds in part",
  "does not hold here",
  "can't be judged here",
)
ALPHA = 0.05
# Attack success rates, and accuracies, that differ by less are taken for the same.
TOLERANCE = 0.02
DEFENDED = (ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE)


@dataclasses.dataclass(frozen=True)
class Claim:
  """A checked claim.

  Attributes:
    text: What the paper claims.
    verdict: One of the four.
    evidence: The numbers behind it, a sentence each.
  """

  text: str
  verdict: str
  evidence: tuple[str, ...]


def all_or_some(passed: Sequence[bool]) -> str:
  """The verdict on a claim about several cases."""
  if not passed:
    return UNKNOWN
  if all(passed):
    return HOLDS
  return PARTLY if any(passed) else FAILS


def cells_of(results: Results, **where: Any) -> list[dict[str, Any]]:
  """The (task, variant, eps) that occur, as labels."""
  names = ("task", "variant", "eps")
  found = dict.fromkeys(tuple(row[n] for n in names) for row in results.select(**where))
  return [dict(zip(names, values)) for values in found]


def monotone(
  results: Results, name: str, *, rising: bool
) -> tuple[list[bool], tuple[str, ...]]:
  """Whether means rise (or fall) along `name` in every series, and in how many."""
  passed, broken = [], []
  for task in results.distinct("task"):
    for method in results.distinct("method", task=task):
      for metric in ("asr_self", "asr_avg"):
        places = sorted(results.distinct(name, task=task, method=method))
        found = [
          results.estimate(metric, task=task, method=method, **{name: place}) for place in places
        ]
        means = [e.mean for e in found if e is not None]
        if len(means) < 2:
          continue
        steps = [b - a if rising else a - b for a, b in zip(means, means[1:])]
        passed.append(min(steps) >= -TOLERANCE)
        if not passed[-1]:
          broken.append(f"{task}, {METHODS[method][0]}, {metric}")
  evidence = [f"True of {sum(passed)} of {len(passed)} series, up to {TOLERANCE:g}."]
  if broken:
    evidence.append("Not of " + "; ".join(broken) + ".")
  return passed, tuple(evidence) if passed else ()


def usable(results: Results) -> tuple[Results, list[str]]:
  """Rows of models that are better than the majority class, and a sentence on those left out.

  What hardly looks at the image resists attacks on it: such models would make claims come true.
  """
  names = ("task", "method", "variant")
  groups = dict.fromkeys(tuple(row[n] for n in names) for row in results.rows)
  bad = {group for group in groups if results.is_collapsed(**dict(zip(names, group)))}
  if not bad:
    return results, []
  kept = [row for row in results.rows if tuple(row[n] for n in names) not in bad]
  told = "; ".join(
    ", ".join(part for part in (task, METHODS[method][0], variant) if part)
    for task, method, variant in groups
    if (task, method, variant) in bad
  )
  return Results(kept), [f"Left out, being no better than the majority class (†): {told}."]
