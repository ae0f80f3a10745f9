"""Audits of several runs in one table: what each gives away, against the first of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.runs.report import audit_page, compare, run_folder
from fedsafe_tff.runs.report.render import markdown, plain
from fedsafe_tff.runs.report.run_folder import RunFolder

_READING = (
  "An AUC of 0.5 is chance. The threshold is the best of its model, chosen on the images that it "
  "is judged on, and so is each side of a difference, which is to the global model of the first "
  "run. Intervals are over the images of one training each: how trainings of other seeds differ is "
  "not in them. Pictures are of one image, which has no interval; *another* is what a picture that "
  "nobody recovered gets."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
  """A model of a run.

  Attributes:
    model: Which.
    threshold: The best attack by one number, as `audit.json` has it.
    lira: LiRA; None without shadow models.
    threshold_difference: As `membership.Difference` has it; None for the first row itself.
    lira_difference: Likewise.
  """

  model: str
  threshold: Mapping[str, Any]
  lira: Mapping[str, Any] | None = None
  threshold_difference: Mapping[str, Any] | None = None
  lira_difference: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Audited:
  """A run, what its audit found, and its models."""

  run: RunFolder
  found: Mapping[str, Any]
  rows: Sequence[Row]


def table(audits: Sequence[Audited]) -> str:
  """The table and how it is to be read, as Markdown; a row per run and model."""
  runs = [each.run for each in audits]
  options = compare.differing(runs)
  if len({compare.option(run, "seed") for run in runs}) > 1:
    options.append("seed")
  lira = any(row.lira for each in audits for row in each.rows)
  headings = [
    "run", *(f"--{name}" for name in options), "mechanism", "epsilon", "model",
    "best threshold, AUC (95 %)", "difference (95 %)",
    *(["LiRA, AUC (95 %)", "difference (95 %)", "LiRA, found at 1 % false (95 %)"] if lira else []),
    "SSIM of one inverted image / another", "epsilon is at least (95 %)",
  ]  # fmt: skip
  rows = []
  for name, each in zip(run_folder.names(runs), audits):
    now = each.run.privacy.get("now") or {}
    stated = each.found["one_run"]["stated_epsilon"] if not now else now.get("epsilon")
    for place, row in enumerate(each.rows):
      cells = [
        plain(name), *(plain(compare.option(each.run, option)) for option in options),
        plain(str(now.get("mechanism", "not known"))),
        "-" if stated is None else f"{stated:.4g}",
        row.model, audit_page.auc_of(row.threshold), _signed(row.threshold_difference),
      ]  # fmt: skip
      if lira:
        cells += [
          audit_page.auc_of(row.lira), _signed(row.lira_difference), audit_page.found_of(row.lira)
        ] if row.lira else ["-"] * 3  # fmt: skip
      rows.append(cells + (_of_the_run(each.found) if not place else ["", ""]))
  return markdown(headings, rows) + f"\n{_READING}\n\n{_images(audits)}\n" + _notes(audits)


def _signed(difference: Mapping[str, Any] | None) -> str:
  if difference is None:
    return "-"
  return f"{difference['auc']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"


def _of_the_run(found: Mapping[str, Any]) -> list[str]:
  single = [each for each in found["inversion"] if each["images"] == 1]
  pictures = f"{single[0]['ssim']:.2f} / {single[0]['control']:.2f}" if single else "-"
  bound = found["one_run"]
  refuted = ", which REFUTES the stated" if bound["refuted"] else ""
  return [pictures, f"{bound['epsilon']:.3g} of {bound['most']:.3g}{refuted}"]


def _images(audits: Sequence[Audited]) -> str:
  """Which differences are of the same images."""
  told = [
    row.threshold_difference["paired"]
    for each in audits[1:]
    for row in each.rows
    if row.threshold_difference
  ]
  if all(told):
    return "All runs have the same images and clients' images: differences are image by image."
  if not any(told):
    return "The runs have other images or splits: each is resampled by itself."
  apart = [
    plain(str(each.run.path))
    for each in audits[1:]
    if not all(r.threshold_difference["paired"] for r in each.rows if r.threshold_difference)
  ]
  return (
    "Differences are image by image, but for runs of other images or splits than the first, which "
    f"are resampled by themselves: {', '.join(apart)}."
  )


def _notes(audits: Sequence[Audited]) -> str:
  """What holds for some of the runs."""
  notes = []
  adaptive = [
    plain(str(each.run.path)) for each in audits if each.found["one_run"].get("adaptive_clip")
  ]
  if adaptive:
    notes.append(f"{', '.join(adaptive)}: {audit_page.ADAPTIVE}")
  few = [each for each in audits if (each.found.get("shadows") or {}).get("count", 0) == 2]
  if few:
    notes.append("Two shadow models tell no variance: LiRA is weak with so few.")
  return "".join(f"\n{note}\n" for note in notes)
