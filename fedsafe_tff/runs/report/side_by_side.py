"""A page that puts runs side by side: accuracy under attack, who attacks best, pictures."""

import base64
import dataclasses
import pathlib
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report import pareto, plots, strongest, style, templates
from fedsafe_tff.runs.report.compare import clean_of_copies
from fedsafe_tff.runs.report.run_folder import RunFolder
from fedsafe_tff.runs.report.strongest import pair, worst_rows
from fedsafe_tff.runs.report.warnings import warnings

_PICTURES = (("Transfer matrix", plots.transfer_heatmap), ("Examples", plots.triptych))
_SIDES = (("self", "adversary's own copy", "-"), ("avg", "other clients' copies", "--"))


@dataclasses.dataclass(frozen=True)
class Entry:
  """A run under the name that the page gives it.

  Attributes:
    name: In table and legend.
    text: What it is, in a sentence; may be empty.
    run: The run.
    attackers: Another evaluation of it, by several attackers, which tells who attacks best; None
      for its own.
  """

  name: str
  text: str
  run: RunFolder
  attackers: Mapping[str, Any] | None = None


def write(
  path: pathlib.Path, title: str, entries: Sequence[Entry], note: str = ""
) -> pathlib.Path:
  """Writes one file that needs no network.

  Args:
    path: The page.
    title: Its heading.
    entries: The runs, in the order of the page; each must have been evaluated.
    note: What a reader must know of all of them; may be empty.

  Raises:
    UserError: A run has no results, or no size at which all were attacked.
  """
  for entry in entries:
    if not entry.run.evaluation.get("results"):
      raise UserError(f"{entry.run.path} has no evaluation yet: let it finish first")
  sizes = _common_sizes(entries)
  page = templates.environment().get_template("side_by_side.html.jinja").render(
    title=title,
    note=note,
    headings=_headings(sizes),
    rows=[_row(entry, sizes) for entry in entries],
    entries=[
      {
        "name": entry.name,
        "text": entry.text,
        "warnings": warnings(entry.run.evaluation),
        "report": _relative(entry.run.path / "report.html", path.parent),
        "pictures": [
          {"alt": f"{what}: {entry.name}", "data": _encoded(picture)}
          for what, draw in _PICTURES
          if (picture := draw(entry.run)) is not None
        ],
      }
      for entry in entries
    ],
    who=strongest.table([_by_attackers(entry) for entry in entries], sizes[-1]),
    who_images=_by_attackers(entries[0]).get("attacked_images"),
    who_headings=["attacker", *(entry.name for entry in entries)],
    who_size=f"{sizes[-1]:g}",
    curves=_curves(entries),
    pareto=_pareto(entries, sizes),
    suites=sorted({str(entry.run.evaluation.get("evaluation", "paper")) for entry in entries}),
    images=sorted({entry.run.evaluation.get("attacked_images") or 0 for entry in entries}),
  )
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"{path.parent} can't be made ({error.strerror}): give another page") from None
  with atomic_path(path) as temporary:
    temporary.write_text(page, encoding="utf-8")
  return path


def _common_sizes(entries: Sequence[Entry]) -> list[float]:
  common = set.intersection(*(set(worst_rows(entry.run.evaluation)) for entry in entries))
  if not common:
    raise UserError("these runs were attacked at no common size: give them one --attack_eps")
  return sorted(common)


def _headings(sizes: Sequence[float]) -> list[str]:
  return [
    "defence", "clean accuracy, global / copies",
    *(f"{what}, eps {eps:g}" for eps in sizes for what in ("robust accuracy self / avg",
                                                          "ASR self / avg")),
    "strongest self / avg", "seconds of training",
  ]  # fmt: skip


def _row(entry: Entry, sizes: Sequence[float]) -> list[str]:
  evaluation = entry.run.evaluation
  rows = worst_rows(evaluation)
  cells = [entry.name, pair(evaluation.get("clean_accuracy_global"), clean_of_copies(entry.run))]
  for eps in sizes:
    row = rows[eps]
    for name in ("attack_accuracy", "asr"):
      cells.append(pair(row.get(f"{name}_self"), row.get(f"{name}_avg")))
  names = [strongest.strongest(_by_attackers(entry), sizes[-1], s) for s in ("self", "avg")]
  cells.append(" / ".join(dict.fromkeys(names)))
  seconds = entry.run.training_seconds()
  return [*cells, "-" if seconds is None else f"{seconds:.0f}"]


def _by_attackers(entry: Entry) -> Mapping[str, Any]:
  return entry.run.evaluation if entry.attackers is None else entry.attackers


def _curves(entries: Sequence[Entry]) -> str:
  """Accuracy of what clients use against the size of the perturbation, as a PNG in base64."""
  figure = style.new_figure(9.0, 4.6)
  axes = style.subplots(figure, 1, 2, sharey=True)[0]
  for axis, (side, title, line) in zip(axes, _SIDES):
    for entry, color in zip(entries, style.COLORS * len(entries)):
      evaluation = entry.run.evaluation
      clean = clean_of_copies(entry.run)
      points = [] if clean is None else [(0.0, clean)]
      name = f"attack_accuracy_{side}"
      points += [
        (eps, row[name]) for eps, row in sorted(worst_rows(evaluation).items())
        if row.get(name) is not None
      ]  # fmt: skip
      if points:
        axis.plot(*zip(*points), color=color, linestyle=line, marker="o", label=entry.name)
    axis.set_title(f"attacks on the {title}", fontsize=10)
    axis.set_xlabel("eps (pixels of [0, 1])")
    majority = entries[0].run.evaluation.get("majority_class")
    if majority is not None:
      axis.axhline(majority, color="#444444", linestyle=":", label="majority class")
    axis.set_ylim(-0.03, 1.03)
  axes[0].set_ylabel("accuracy under the worst attack")
  handles, labels = axes[0].get_legend_handles_labels()
  figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4)
  with tempfile.TemporaryDirectory() as folder:
    return _encoded(style.save(figure, pathlib.Path(folder) / "curves.png"))


def _pareto(entries: Sequence[Entry], sizes: Sequence[float]) -> str:
  """Clean against robust accuracy at every size, time as size of the marks, as a PNG in base64."""
  panels = []
  for eps in sizes:
    points = []
    for entry in entries:
      row = worst_rows(entry.run.evaluation)[eps]
      copies = clean_of_copies(entry.run)
      # Both on the attacked images, where that is known.
      clean, robust = row.get("clean_accuracy", copies), row.get("attack_accuracy_self")
      if clean is not None and robust is not None:
        seconds = entry.run.training_seconds()
        points.append(pareto.Point(entry.name, clean, robust, seconds))
    panels.append((eps, points))
  with tempfile.TemporaryDirectory() as folder:
    return _encoded(pareto.draw(panels, pathlib.Path(folder) / "pareto.png"))


def _encoded(picture: pathlib.Path) -> str:
  return base64.b64encode(picture.read_bytes()).decode()


def _relative(file: pathlib.Path, folder: pathlib.Path) -> str:
  """The way from the page to a report, for a link; its file name alone would lead nowhere."""
  try:
    way = file.resolve().relative_to(folder.resolve()).as_posix()
    return urllib.parse.quote(way)  # a folder may be called "javascript:..."
  except ValueError:
    return file.resolve().as_uri()
