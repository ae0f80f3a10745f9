"""Tables as Markdown, CSV and LaTeX."""

import csv
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.data.files import atomic_path

_LATEX = {
  "\\": r"\textbackslash{}",
  "&": r"\&",
  "%": r"\%",
  "$": r"\$",
  "#": r"\#",
  "_": r"\_",
  "{": r"\{",
  "}": r"\}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"$<$",
  ">": r"$>$",
  "±": r"$\pm$",
  "†": r"$\dagger$",
  "≤": r"$\le$",
}


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKS = re.compile(r"[\\`*\[\]<>&~]")


def plain(text: str) -> str:
  """Text that somebody else chose, for a page of Markdown: on one line, marking up nothing."""
  return _MARKS.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split()))


def cell(value: Any) -> Any:
  """A value of a CSV file; text that a spreadsheet would take for a formula gets a quote."""
  if value is None:
    return ""
  return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table in GitHub's Markdown."""
  lines = [headings, ["---"] * len(headings), *rows]
  cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
  return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def latex(
  headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, label: str
) -> str:
  """A `table` environment with a `tabular`; needs the booktabs package."""
  lines = [
    r"\begin{table}",
    r"\centering",
    rf"\caption{{{escape(caption)}}}",
    rf"\label{{tab:{label}}}",
    rf"\begin{{tabular}}{{{'l' * len(headings)}}}",
    r"\toprule",
    " & ".join(escape(h) for h in headings) + r" \\",
    r"\midrule",
    *(" & ".join(escape(cell) for cell in row) + r" \\" for row in rows),
    r"\bottomrule",
    r"\end{tabular}",
    r"\end{table}",
  ]
  return "\n".join(lines) + "\n"


def escape(text: str) -> str:
  """Text as LaTeX typesets it."""
  return "".join(_LATEX.get(character, character) for character in text)


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text file so that a reader never meets half of it."""
  with atomic_path(path) as temporary:
    temporary.write_text(text, encoding="utf-8")


def write_csv(
  path: pathlib.Path, rows: Sequence[Mapping[str, Any]], *, summed: bool = False
) -> None:
  """Writes a CSV file with the columns of all rows; None becomes an empty cell.

  `summed` is as in `data.files.atomic_path`.
  """
  with atomic_path(path, summed=summed) as temporary, temporary.open(
    "w", newline="", encoding="utf-8", errors="backslashreplace"
  ) as file:
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows({k: cell(v) for k, v in row.items()} for row in rows)
