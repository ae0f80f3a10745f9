"""A claim of the paper, checked: it holds, holds in part, or does not hold here."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.paper.cells import ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE, method_name
from fedsafe_tff.paper.results import Results
from fedsafe_tff.paper.statistics import Estimate

HOLDS, PARTLY, FAILS, TRIVIAL, UNKNOWN = (
  "holds",
  "holds in part",
  "does not hold here",
  "true by construction",
  "can't be judged here",
)
ALPHA = 0.05
# Attack success rates, and accuracies, that differ by less are taken for the same.
TOLERANCE = 0.02
DEFENDED = (ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE)
DEFINITION = (
  f"*Holds*: in every case the numbers reach what is claimed, give or take {TOLERANCE:g} where a "
  "claim is about a level or about equality, and chance is excluded: the 95 % interval over seeds "
  "lies within the claim or, for a difference, p is below 0.05 (paired t-test over seeds, with "
  "Holm's adjustment over the cells of the claim; where a rate is said to grow, each series by "
  "itself, unadjusted). *Holds in part*: in at least half of the cases "
  "the mean does, or the direction is right and the size is not. What one seed shows holds in "
  "part at most."
)


@dataclasses.dataclass(frozen=True)
class Claim:
  """A checked claim.

  Attributes:
    text: What the paper claims.
    verdict: One of the five.
    evidence: The numbers behind it, a sentence each.
  """

  text: str
  verdict: str
  evidence: tuple[str, ...]


def at_most(value: Estimate, limit: float) -> str:
  """Whether a level is at most `limit` and the tolerance: surely, by its mean, or not."""
  if value.mean > limit + TOLERANCE:
    return FAILS
  return HOLDS if value.high is not None and value.high <= limit + TOLERANCE else PARTLY


def at_least(value: Estimate, limit: float) -> str:
  """Whether a level is at least `limit` less the tolerance."""
  if value.mean < limit - TOLERANCE:
    return FAILS
  return HOLDS if value.low is not None and value.low >= limit - TOLERANCE else PARTLY


def together(verdicts: Sequence[str]) -> str:
  """The verdict on a claim about several cases."""
  if not verdicts:
    return UNKNOWN
  if all(verdict == HOLDS for verdict in verdicts):
    return HOLDS
  return PARTLY if 2 * sum(v != FAILS for v in verdicts) >= len(verdicts) else FAILS


def cells_of(results: Results, **where: Any) -> list[dict[str, Any]]:
  """The (task, variant, eps) that occur, as labels."""
  names = ("task", "variant", "eps")
  found = dict.fromkeys(tuple(row[n] for n in names) for row in results.select(**where))
  return [dict(zip(names, values)) for values in found]


def monotone(results: Results, name: str, *, rising: bool) -> tuple[list[str], tuple[str, ...]]:
  """Whether rates rise (or fall) along `name` in every series: verdicts, and evidence.

  A series holds if no mean falls back by more than the tolerance behind the best one before it, and
  the last value is significantly beyond the first.
  """
  verdicts, broken, flat = [], [], []
  for task in results.distinct("task"):
    for method in results.distinct("method", task=task):
      for metric in ("asr_self", "asr_avg"):
        where = {"task": task, "method": method}
        places = sorted(results.distinct(name, **where))
        found = [results.estimate(metric, **where, **{name: place}) for place in places]
        sign = 1 if rising else -1
        means = [sign * e.mean for e in found if e is not None]
        change = results.compare(metric, {name: places[0]}, {name: places[-1]}, **where)
        if len(means) < 2 or change is None:
          continue
        back = max(max(means[: i + 1]) - value for i, value in enumerate(means))
        series = f"{task}, {method_name(method)}, {metric}"
        if back > TOLERANCE:
          broken.append(series)
          verdicts.append(FAILS)
        elif sign * change.difference.mean <= 0 or (change.p is not None and change.p >= ALPHA):
          flat.append(f"{series} ({change.difference.text()} from first to last)")
          verdicts.append(FAILS)
        else:
          verdicts.append(PARTLY if change.p is None else HOLDS)
  good = sum(verdict != FAILS for verdict in verdicts)
  evidence = [f"True of {good} of {len(verdicts)} series."]
  if broken:
    evidence.append(f"Against it by more than {TOLERANCE:g}: " + "; ".join(broken) + ".")
  if flat:
    evidence.append("No significant change: " + "; ".join(flat) + ".")
  return verdicts, tuple(evidence) if verdicts else ()


def usable(results: Results) -> tuple[Results, list[str]]:
  """Rows of models that are better than the majority class, and a sentence on those left out.

  What hardly looks at the image resists attacks on it: such models would make claims come true.
  """
  names = ("task", "method", "variant")
  groups = list(dict.fromkeys(tuple(row[n] for n in names) for row in results.rows))
  bad = {group: results.collapsed(**dict(zip(names, group))) for group in groups}
  if not any(bad.values()):
    return results, []
  kept = [row for row in results.rows if row["seed"] not in bad[tuple(row[n] for n in names)]]
  told = "; ".join(
    ", ".join(part for part in (task, method_name(method), variant) if part)
    + f" ({len(seeds)} of {len(results.by_seed('clean_accuracy', **dict(zip(names, group))))} "
    "seeds)"
    for group, seeds in bad.items()
    if seeds
    for task, method, variant in [group]
  )
  return Results(kept), [f"Left out, being no better than the majority class (†): {told}."]
