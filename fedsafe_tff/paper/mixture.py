"""Numbers of different versions for one page: refused, unless it is asked for and the page says so.

Other keys and other splits give another draw of everything random. An older definition is no
obstacle: the cache translates its numbers or leaves them out, and the page says which.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.paper.request import Request

Row = Mapping[str, Any]


def of_rows(rows: Iterable[Row]) -> list[tuple[str, dict[str, int]]]:
  """Training and versions of each row."""
  return [(row["training"], {name: row[name] for name in versions.DRAWN}) for row in rows]


def check(request: Request, rows: Sequence[Row], *, more_to_come: bool = False) -> str:
  """Which of the rows have which versions, in words; "" where all have the same.

  Args:
    request: What is asked for.
    rows: As `rows.of_cells` makes them.
    more_to_come: Whether this version is about to add numbers of its own.

  Raises:
    UserError: They differ, and nobody asked for that.
  """
  named = of_rows(rows)
  if more_to_come and named:
    now = versions.current()
    named.append(("what is still to be made", {name: now[name] for name in versions.DRAWN}))
  told = versions.mixture(named)
  if told and not request.mixed_versions:
    raise UserError(
      f"the numbers of {request.name} in --cache={request.cache} are not of one version ({told}): "
      "give another --cache, or --mixed_versions to have them on one page, which then says so"
    )
  return told


def warning(told: str) -> str:
  """A section of the page for what `check` found."""
  return (
    "## Numbers of different versions\n\n"
    "**What stands on this page was not drawn alike**: other keys or splits are another draw of "
    f"all that is random, and differences may be due to that. {told}.\n"
  )


def facts(rows: Sequence[Row], manifests: Sequence[Mapping[str, Any]]) -> list[str]:
  """Lines on the versions behind a page, for how it was made.

  Args:
    rows: As `rows.of_cells` makes them.
    manifests: Of the trainings; for pages without rows.
  """
  drawn = [found for _, found in of_rows(rows)] or [versions.drawn_by(m) for m in manifests]
  lines = [
    "versions: " + "; ".join(dict.fromkeys(map(versions.text, drawn)))
    if drawn
    else "versions: nothing made yet"
  ]
  counts: dict[int, int] = {}
  for row in rows:
    counts[row["definitions"]] = counts.get(row["definitions"], 0) + 1
  if counts:
    told = ", ".join(f"{number} in {count}" for number, count in sorted(counts.items()))
    lines.append(f"definitions of the {len(rows)} evaluations: {told}")
  older = [row for row in rows if row["definitions"] < definitions.VERSION]
  if older:
    lacking = sum(row["clean_accuracy_all"] is None for row in older)
    lines.append(
      "`clean_accuracy_all` has one definition, the copies' accuracy on all evaluation images. "
      "Evaluations of definition 1 have it for those attacked: it is the global model's where "
      f"every client held that ({len(older) - lacking} evaluations), and empty for noised copies "
      f"({lacking}) whose models were not there to be evaluated anew"
    )
  return lines
