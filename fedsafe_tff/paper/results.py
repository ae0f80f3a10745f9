"""The rows of a sweep, asked by task, method, variant and size."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedsafe_tff.evaluation.definitions import has_collapsed
from fedsafe_tff.evaluation.statistics import wilson_ends
from fedsafe_tff.paper import statistics
from fedsafe_tff.paper.statistics import Comparison, Estimate

Row = Mapping[str, Any]
# Both over all evaluation images: those attacked may hold another share of the largest class.
_OF_A_MODEL = ("clean_accuracy_all", "majority_class")
_RATES = ("asr_self", "asr_avg", "attack_accuracy_self", "attack_accuracy_avg")

ONE_SEED_NOTE = (
  " Of one seed a rate has Wilson's 95 % interval over its images instead, in brackets: of other "
  "trainings it tells nothing."
)
COLLAPSED_NOTE = (
  "†n: at n seeds the model's clean accuracy on all evaluation images is at most 0.02 above the "
  "majority class; such a "
  "model resists attacks because it hardly looks at the image."
)
UNJUDGED_NOTE = (
  " ‡n: at n seeds nobody knows whether it is such a model: an older evaluation counted the clean "
  "accuracy of the noised copies on the attacked images only (see the versions below)."
)


@dataclasses.dataclass(frozen=True)
class Results:
  """All numbers of a table or figure.

  Attributes:
    rows: One per cell and size, as `rows.of_cells` makes them.
  """

  rows: Sequence[Row]

  def select(self, **where: Any) -> list[Row]:
    """Rows that have these values."""
    return [row for row in self.rows if all(row[k] == v for k, v in where.items())]

  def distinct(self, name: str, **where: Any) -> list[Any]:
    """The values that occur, in the order of the rows."""
    return list(dict.fromkeys(row[name] for row in self.select(**where)))

  def by_seed(self, metric: str, **where: Any) -> dict[int, float]:
    """Seed to value; over several rows of a seed, such as several sizes, the mean.

    A seed that lacks a row that another one has is left out: its mean would be one of other sizes.
    """
    return _means(self._by_place(metric, where))

  def estimate(self, metric: str, **where: Any) -> Estimate | None:
    """Mean and interval over seeds, of one seed and size over its images; None without values."""
    values = self.by_seed(metric, **where)
    if not values:
      return None
    found = statistics.estimate(list(values.values()))
    rows = [row for row in self.select(**where) if row.get(metric) is not None]
    if metric in _RATES and len(rows) == 1 and not rows[0].get("images_of_patients"):
      found = dataclasses.replace(found, images=int(rows[0].get("attacked_images") or 0))
    return found

  def compare(
    self, metric: str, first: dict[str, Any], second: dict[str, Any], **where: Any
  ) -> Comparison | None:
    """Second less first, paired by seed, over the sizes that both have."""
    apart = first.keys() | second.keys()
    left = self._by_place(metric, where | first, apart)
    right = self._by_place(metric, where | second, apart)
    places = {place for values in left.values() for place in values}
    places &= {place for values in right.values() for place in values}
    return statistics.compare(_means(left, places), _means(right, places))

  def _by_place(
    self, metric: str, where: dict[str, Any], apart: Iterable[str] = ()
  ) -> dict[int, dict[tuple, float]]:
    """Seed to value by what tells a seed's rows from one another, but for the labels `apart`."""
    labels = [name for name in ("task", "method", "variant", "eps") if name not in apart]
    found: dict[int, dict[tuple, float]] = {}
    for row in self.select(**where):
      if row.get(metric) is not None:
        place = tuple(row[name] for name in labels)
        found.setdefault(row["seed"], {})[place] = row[metric]
    return found

  def collapsed(self, **where: Any) -> set[int]:
    """The seeds whose models are hardly better than the majority class."""
    judged = self._judged(where).items()
    return {
      seed
      for seed, rows in judged
      if has_collapsed(*(mean(row[name] for row in rows) for name in _OF_A_MODEL))
    }

  def unjudged(self, **where: Any) -> set[int]:
    """The seeds whose models nobody knows to be better than the majority class or not."""
    return {row["seed"] for row in self.select(**where)} - self._judged(where).keys()

  def _judged(self, where: dict[str, Any]) -> dict[int, list[Row]]:
    """By seed the rows that tell how good its model is: at whatever sizes it was attacked."""
    found: dict[int, list[Row]] = {}
    for row in self.select(**where):
      if None not in (row.get(name) for name in _OF_A_MODEL):
        found.setdefault(row["seed"], []).append(row)
    return found

  def one_seed_note(self) -> str:
    """What brackets are, for a table that has cells of one seed."""
    labels = ("task", "method", "variant", "eps", "attacker")
    seeds: dict[tuple, set[int]] = {}
    for row in self.rows:
      seeds.setdefault(tuple(row.get(name) for name in labels), set()).add(row["seed"])
    return ONE_SEED_NOTE if any(len(each) == 1 for each in seeds.values()) else ""

  def unjudged_note(self) -> str:
    """What ‡ means, for a table in which it can occur; "" where all models are judged."""
    return UNJUDGED_NOTE if any(row["clean_accuracy_all"] is None for row in self.rows) else ""

  def reading(self, suffix: str) -> "Results":
    """The same rows with the rates of another reading, such as `asr_self_correct`, as the rates."""
    names = ("asr_self", "asr_avg")
    # Of how many images they are shares is not told.
    return Results(
      [
        {**row, **{n: row[n + suffix] for n in names}, "attacked_images": 0} for row in self.rows
      ]
    )


def _means(
  found: dict[int, dict[tuple, float]], places: set[tuple] | None = None
) -> dict[int, float]:
  """Means over `places`, by default all that occur, of the seeds that have all of them."""
  if places is None:
    places = {place for values in found.values() for place in values}
  # In a set's order a plain sum would end in other last bits from process to process, and a mean
  # that is halfway between two roundings in another digit.
  return {
    seed: math.fsum(values[place] for place in places) / len(places)
    for seed, values in found.items()
    if places and places <= values.keys()
  }


def mark(collapsed: int, unjudged: int = 0) -> str:
  """What stands behind a value that rests on models that have collapsed, or may have."""
  return (f" †{collapsed}" if collapsed else "") + (f" ‡{unjudged}" if unjudged else "")


def table_text(value: Estimate | None, digits: int = 3) -> str:
  """An estimate as it stands in a table."""
  if value is None:
    return "-"
  if value.half_width is None and value.images:
    low, high = wilson_ends(value.mean, value.images)
    return f"{value.text(digits)} [{low:.2f}, {high:.2f}]"
  return value.text(digits)


def p_text(p: float | None) -> str:
  """A p-value as it stands in a table."""
  if p is None:
    return "-"
  return "<0.001" if p < 0.001 else f"{p:.3f}"


def mean(values: Iterable[float]) -> float:
  """Mean of at least one value."""
  values = list(values)
  return sum(values) / len(values)
