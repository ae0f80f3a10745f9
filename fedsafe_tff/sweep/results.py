"""The rows of a sweep, asked by task, method, variant and size."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedsafe_tff.sweep import statistics
from fedsafe_tff.sweep.statistics import Comparison, Estimate

Row = Mapping[str, Any]

# A model that is hardly better than always answering the largest class resists attacks for no
# good reason: its answers don't depend on the image.
_COLLAPSED = 0.02


@dataclasses.dataclass(frozen=True)
class Results:
  """All numbers of a table or figure.

  Attributes:
    rows: One per cell and size, as `Cache.rows` makes them.
  """

  rows: Sequence[Row]

  def select(self, **where: Any) -> list[Row]:
    """Rows that have these values."""
    return [row for row in self.rows if all(row[k] == v for k, v in where.items())]

  def distinct(self, name: str, **where: Any) -> list[Any]:
    """The values that occur, in the order of the rows."""
    return list(dict.fromkeys(row[name] for row in self.select(**where)))

  def by_seed(self, metric: str, **where: Any) -> dict[int, float]:
    """Seed to value; over several rows of a seed, such as several sizes, the mean."""
    found: dict[int, list[float]] = {}
    for row in self.select(**where):
      if row.get(metric) is not None:
        found.setdefault(row["seed"], []).append(row[metric])
    return {seed: sum(values) / len(values) for seed, values in found.items()}

  def estimate(self, metric: str, **where: Any) -> Estimate | None:
    """Mean and interval over seeds; None where there are no values."""
    values = self.by_seed(metric, **where)
    return statistics.estimate(list(values.values())) if values else None

  def compare(
    self, metric: str, first: dict[str, Any], second: dict[str, Any], **where: Any
  ) -> Comparison | None:
    """Second less first, paired by seed."""
    return statistics.compare(
      self.by_seed(metric, **where, **first), self.by_seed(metric, **where, **second)
    )

  def is_collapsed(self, **where: Any) -> bool:
    """Whether the models are, on average, hardly better than the majority class."""
    clean = self.by_seed("clean_accuracy", **where)
    majority = self.by_seed("majority_class", **where)
    if not clean:
      return False
    return sum(clean.values()) - sum(majority.values()) <= _COLLAPSED * len(clean)


def table_text(value: Estimate | None, digits: int = 3) -> str:
  """An estimate as it stands in a table."""
  return "-" if value is None else value.text(digits)


def p_text(p: float | None) -> str:
  """A p-value as it stands in a table."""
  if p is None:
    return "-"
  return "<0.001" if p < 0.001 else f"{p:.3f}"


def mean(values: Iterable[float]) -> float:
  """Mean of at least one value."""
  values = list(values)
  return sum(values) / len(values)
