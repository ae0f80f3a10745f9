"""Two methods beside each other, cell by cell, with the paper's values where it has any."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff.paper import statistics
from fedsafe_tff.paper.results import COLLAPSED_NOTE, Results, mark, p_text, table_text
from fedsafe_tff.paper.statistics import Comparison, Estimate

METRIC_NAMES = {"asr_self": "self", "asr_avg": "avg"}

# The paper gives two decimals: what rounds to the same one is no difference.
_SAME = 0.005
_ALPHA = 0.05
NOTE = (
  "Mean ± half-width of the 95 % t-interval over seeds. Difference: the second less the first, "
  "paired by seed, with a paired t-test; Holm's correction is over all rows, and * marks what "
  "stays below 0.05. Differences of means up to 0.005 are called same. " + COLLAPSED_NOTE
)


@dataclasses.dataclass(frozen=True)
class Versus:
  """One cell: the second method against the first.

  Attributes:
    labels: What the cell is: task, eps, metric and so on.
    first: Ours for the first method; None where it could not be done.
    second: Ours for the second. Where both are there, both are of the seeds that both have.
    clean: Clean accuracy of both.
    comparison: Second less first, paired by seed.
    paper_first: The paper's value; None where it has none.
    paper_second: The paper's value.
    p_holm: The p-value as it counts among all cells of the table.
    collapsed: For both, at how many seeds the model is hardly better than the majority class.
    unjudged: For both, at how many seeds nobody knows that.
  """

  labels: dict[str, Any]
  first: Estimate | None
  second: Estimate | None
  clean: tuple[Estimate | None, Estimate | None]
  comparison: Comparison | None
  paper_first: float | None
  paper_second: float | None
  p_holm: float | None = None
  collapsed: tuple[int, int] = (0, 0)
  unjudged: tuple[int, int] = (0, 0)

  @property
  def paper_direction(self) -> str:
    """Whether the paper's second value is lower, higher or the same; "" where it has none."""
    if self.paper_first is None or self.paper_second is None:
      return ""
    return direction(self.paper_second - self.paper_first)

  @property
  def our_direction(self) -> str:
    """The same of our means."""
    return direction(self.comparison.difference.mean) if self.comparison else ""

  @property
  def significant(self) -> bool:
    """Whether our difference is beyond chance among all cells of the table."""
    return self.p_holm is not None and self.p_holm < _ALPHA

  @property
  def agrees(self) -> str:
    """Whether both directions agree: "yes", "no", or "" where one is unknown.

    Unknown too where a model has collapsed: it resists attacks for no good reason.
    """
    if not self.paper_direction or not self.our_direction or any(self.collapsed):
      return ""
    return "yes" if self.paper_direction == self.our_direction else "no"


def direction(difference: float) -> str:
  """A difference of attack success rates in a word."""
  if abs(difference) <= _SAME:
    return "same"
  return "lower" if difference < 0 else "higher"


def versus(
  results: Results,
  cells: Sequence[dict[str, Any]],
  first: dict[str, Any],
  second: dict[str, Any],
  paper: Callable[[dict[str, Any]], tuple[float, float] | None],
) -> list[Versus]:
  """Compares two methods in many cells.

  Args:
    results: The rows.
    cells: For each cell its labels: `metric` names the column, the others select rows.
    first: What selects the first method's rows.
    second: What selects the second's.
    paper: From a cell's labels to the paper's two values, or None.

  Returns:
    One entry per cell, p-values adjusted for their number.
  """
  made = []
  for labels in cells:
    where = {k: v for k, v in labels.items() if k != "metric"}
    metric = labels["metric"]
    theirs = paper(labels) or (None, None)
    compared = results.compare(metric, first, second, **where)
    made.append(
      Versus(
        labels=labels,
        first=_shown(compared and compared.first, results, metric, **where, **first),
        second=_shown(compared and compared.second, results, metric, **where, **second),
        clean=tuple(results.estimate("clean_accuracy", **where, **w) for w in (first, second)),
        comparison=compared,
        paper_first=theirs[0],
        paper_second=theirs[1],
        collapsed=tuple(len(results.collapsed(**where, **w)) for w in (first, second)),
        unjudged=tuple(len(results.unjudged(**where, **w)) for w in (first, second)),
      )
    )
  adjusted = statistics.holm([v.comparison.p if v.comparison else None for v in made])
  return [dataclasses.replace(v, p_holm=p) for v, p in zip(made, adjusted)]


def _shown(
  paired: Estimate | None, results: Results, metric: str, **where: Any
) -> Estimate | None:
  """What is paired with the other method's; of one seed the same value, with its images."""
  alone = results.estimate(metric, **where)
  if paired is None or (alone is not None and alone.count == 1 and alone.mean == paired.mean):
    return alone
  return paired


def headings(label_names: Sequence[str], first: str, second: str) -> list[str]:
  """Headings of `table_rows`."""
  return [
    *label_names,
    f"{first}, paper",
    f"{first}, ours",
    f"{second}, paper",
    f"{second}, ours",
    "difference",
    "p",
    "p (Holm)",
    "paper says",
    "here",
    "agrees",
    "clean acc.",
    "seeds",
  ]


def table_rows(entries: Sequence[Versus], digits: int = 3) -> list[list[str]]:
  """One row per cell for Markdown or LaTeX; see `NOTE`."""
  return [
    [
      *(_label(value) for value in entry.labels.values()),
      _paper(entry.paper_first),
      table_text(entry.first, digits) + mark(entry.collapsed[0], entry.unjudged[0]),
      _paper(entry.paper_second),
      table_text(entry.second, digits) + mark(entry.collapsed[1], entry.unjudged[1]),
      table_text(entry.comparison.difference, digits) if entry.comparison else "-",
      p_text(entry.comparison.p if entry.comparison else None),
      p_text(entry.p_holm),
      entry.paper_direction or "-",
      entry.our_direction + (" *" if entry.significant else "") or "-",
      entry.agrees or "-",
      " / ".join("-" if e is None else f"{e.mean:.3f}" for e in entry.clean),
      str(entry.comparison.difference.count) if entry.comparison else "-",
    ]
    for entry in entries
  ]


def csv_rows(entries: Sequence[Versus]) -> list[dict[str, Any]]:
  """One row per cell with bare numbers."""
  return [
    {
      **entry.labels,
      "paper_first": entry.paper_first,
      "first_mean": entry.first and entry.first.mean,
      "first_half_width": entry.first and entry.first.half_width,
      "paper_second": entry.paper_second,
      "second_mean": entry.second and entry.second.mean,
      "second_half_width": entry.second and entry.second.half_width,
      "seeds": entry.comparison and entry.comparison.difference.count,
      "difference": entry.comparison and entry.comparison.difference.mean,
      "difference_half_width": entry.comparison and entry.comparison.difference.half_width,
      "p": entry.comparison and entry.comparison.p,
      "p_holm": entry.p_holm,
      "paper_direction": entry.paper_direction,
      "our_direction": entry.our_direction,
      "agrees": entry.agrees,
      "first_clean_accuracy": entry.clean[0] and entry.clean[0].mean,
      "second_clean_accuracy": entry.clean[1] and entry.clean[1].mean,
      "first_collapsed": entry.collapsed[0],
      "second_collapsed": entry.collapsed[1],
      "first_unjudged": entry.unjudged[0],
      "second_unjudged": entry.unjudged[1],
    }
    for entry in entries
  ]


def agreement(entries: Sequence[Versus]) -> str:
  """In how many cells the directions agree, in words."""
  known = [entry for entry in entries if entry.agrees]
  if not known:
    if all(entry.paper_first is None or entry.paper_second is None for entry in entries):
      return "The paper has no values for these cells."
    return "Of none of the paper's cells are there values of ours that can be judged."
  strict = [e for e in known if e.paper_direction != "same"]
  both = [e for e in strict if e.agrees == "yes"]
  against = [e for e in strict if e.agrees == "no" and e.our_direction != "same"]
  same = sum(entry.agrees == "yes" for entry in known)
  return (
    f"The direction of the means agrees with the paper's in {same} of {len(known)} cells; where "
    f"the paper has a difference at all, in {len(both)} of {len(strict)}: significantly in "
    f"{sum(e.significant for e in both)}, and significantly against it in "
    f"{sum(e.significant for e in against)}."
  )


def _label(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:g}"
  return METRIC_NAMES.get(value, str(value))


def _paper(value: float | None) -> str:
  return "-" if value is None else f"{value:.4f}".rstrip("0").ljust(4, "0")
