"""What a table or figure hands to its page, and the table of everything that all of them share."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff.paper.cells import method_name
from fedsafe_tff.paper.claim import Claim
from fedsafe_tff.paper.results import COLLAPSED_NOTE, Results, mark, table_text
from fedsafe_tff.runs.report import render

_COLUMNS = (
  ("clean_accuracy", "clean acc."),
  ("asr_self", "self"),
  ("asr_avg", "avg"),
  ("asr_self_correct", "self*"),
  ("asr_avg_correct", "avg*"),
  ("attack_accuracy_self", "acc. self"),
  ("attack_accuracy_avg", "acc. avg"),
  ("random_noise_flip_rate", "random"),
)
LEGEND = (
  "Mean ± half-width of the 95 % t-interval over seeds. self: ASR on the adversary's own copy; "
  "avg: on the other clients' copies (Eq. 11, all images); * the same among images that the "
  "attacked model gets right; acc.: accuracy on attacked images; random: labels changed by random "
  "noise of the same size. " + COLLAPSED_NOTE
)


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of the page: a heading and Markdown."""

  title: str
  text: str


@dataclasses.dataclass(frozen=True)
class Report:
  """What a table or figure found.

  Attributes:
    sections: In the order of the page.
    claims: The paper's claims that it can check.
  """

  sections: tuple[Section, ...]
  claims: tuple[Claim, ...] = ()


def write_tables(
  folder: pathlib.Path,
  name: str,
  headings: Sequence[str],
  rows: Sequence[Sequence[str]],
  records: Sequence[dict[str, Any]],
  caption: str,
) -> str:
  """Writes NAME.md, NAME.tex and NAME.csv; returns the Markdown.

  Args:
    folder: Where to write.
    name: Name of the files without their endings.
    headings: Of the columns.
    rows: The table as text.
    records: The same as bare numbers, for the CSV.
    caption: Of the LaTeX table.
  """
  text = render.markdown(headings, rows)
  render.write_text(folder / f"{name}.md", text)
  render.write_text(
    folder / f"{name}.tex", render.latex(headings, rows, caption=caption, label=name)
  )
  render.write_csv(folder / f"{name}.csv", records)
  return text


def overview(results: Results, folder: pathlib.Path, name: str = "all_cells") -> Section:
  """Every cell with clean accuracy, both readings of ASR and the controls."""
  labels = ("task", "method", "variant", "eps")
  cells = list(dict.fromkeys(tuple(row[n] for n in labels) for row in results.rows))
  rows, records = [], []
  for cell in cells:
    where = dict(zip(labels, cell))
    found = {metric: results.estimate(metric, **where) for metric, _ in _COLUMNS}
    collapsed, unjudged = len(results.collapsed(**where)), len(results.unjudged(**where))
    seeds = len(results.by_seed("clean_accuracy", **where))
    texts = [table_text(found[metric]) for metric, _ in _COLUMNS]
    texts[0] += mark(collapsed, unjudged)
    task, method, variant, eps = cell
    [pixels] = results.distinct("eps_pixels", **where)
    size = f"{eps:g}" if pixels == eps else f"{eps:g} ({pixels:g} of a pixel's range)"
    rows.append([task, method_name(method), variant, size, *texts, str(seeds)])
    record = {**where, "eps_pixels": pixels, "seeds": seeds, "collapsed": collapsed}
    record["unjudged"] = unjudged
    for metric, estimate in found.items():
      record[metric] = estimate and estimate.mean
      record[f"{metric}_half_width"] = estimate and estimate.half_width
    records.append(record)
  headings = ["task", "method", "variant", "eps", *(title for _, title in _COLUMNS), "seeds"]
  if not any(row[2] for row in rows):
    headings.pop(2)
    for row in rows:
      row.pop(2)
  legend = LEGEND + results.one_seed_note() + results.unjudged_note()
  text = write_tables(folder, name, headings, rows, records, "All cells. " + legend)
  return Section("All cells", f"{legend}\n\n{text}")


def readings(claims: Callable[[Results], Sequence[Claim]], results: Results) -> Section:
  """The verdicts when success is counted over all images, and over those classified correctly."""
  first = claims(results)
  second = claims(results.reading("_correct"))
  rows = [[one.text, one.verdict, other.verdict] for one, other in zip(first, second)]
  headings = ["claim", "of all images (Eq. 11)", "of those that the model gets right"]
  return Section("Which attack success rate", render.markdown(headings, rows))


def picture(folder: pathlib.Path, path: pathlib.Path | None, alternative: str) -> str:
  """Markdown that shows a picture below `folder`."""
  return "" if path is None else f"![{alternative}]({path.relative_to(folder).as_posix()})\n"
