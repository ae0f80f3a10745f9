"""The rows of a table: the numbers that a cache has for cells, and the files that they are from."""

from collections.abc import Iterator, Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.paper.cache import Cache, evaluation_images, read_json
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.runs.config import Config

# What a suite's evaluation tells besides numbers.
ABOUT_ATTACKERS = ("left_out", "notes", "masking")
SECONDS = "training_seconds"
BY_IMAGE = "by_image"


def of_cells(cache: Cache, cells: Sequence[Cell]) -> list[dict[str, Any]]:
  """One row per cell and size for what is there: numbers, and the files that they are from."""
  return [_row(cache, cell, name, eps, found) for cell, name, eps, found in _found(cache, cells)]


def of_attackers(cache: Cache, cells: Sequence[Cell]) -> list[dict[str, Any]]:
  """As `of_cells`, with a row for each attacker of a suite; all of them together stand last.

  They hold `ABOUT_ATTACKERS` too: who was left out and why, what attackers hold, what may be
  masked; `SECONDS`, those of training, adaptation and healing, which no two runs share; and
  `BY_IMAGE`, on which images one model is right under all of them, None of older evaluations.
  """
  rows = []
  for cell, name, eps, found in _found(cache, cells):
    for result in found.get("results", []):
      row = _row(cache, cell, name, eps, {**found, "result": result})
      about = {key: found[key] for key in ABOUT_ATTACKERS}
      about |= {SECONDS: _training_seconds(cache, cell.config, found)}
      rows.append(row | about | {BY_IMAGE: found.get(BY_IMAGE)})
  return rows


def _found(
  cache: Cache, cells: Sequence[Cell]
) -> Iterator[tuple[Cell, float, float, dict[str, Any]]]:
  """Cell, size as the table has it and in pixels, and the evaluation."""
  for cell in cells:
    if cell.examples:
      continue
    for name, eps in zip(cell.eps, cell.config.attack_eps):
      found = cache.find_evaluation(cell.config, eps)
      if found is not None:
        yield cell, name, eps, found


def _row(
  cache: Cache, cell: Cell, name: float, eps: float, found: dict[str, Any]
) -> dict[str, Any]:
  file = cache.evaluation(cell.config, eps)
  labels = {
    "task": cell.task,
    "method": cell.method,
    "variant": cell.variant,
    "seed": cell.seed,
    "eps": name,
    "eps_pixels": eps,
  }
  # Intervals over images follow from rates and `attacked_images`.
  numbers = {k: v for k, v in found["result"].items() if k not in ("eps", "intervals")}
  facts = {k: found[k] for k in ("clean_accuracy_global", "majority_class", "attacked_images")}
  # Several images of a patient are no independent ones: no interval is of them.
  facts["images_of_patients"] = bool(found.get("of_patients"))
  copies = cache.accuracies(cell.config, found)
  # Of all images, attacked or not.
  facts["clean_accuracy_all"] = sum(copies) / len(copies) if copies else None
  images = evaluation_images(read_json(file.parents[1] / "manifest.json"))
  made_by = versions.drawn_by(found) | {"definitions": definitions.version_of(found, images)}
  origin = {
    "evaluation": str(file.relative_to(cache.folder)),
    "training": str(file.parents[1].relative_to(cache.folder)),
    "git_commit": found["git_commit"],
  }
  return labels | numbers | facts | found.get("leak", {}) | origin | made_by


def _training_seconds(cache: Cache, config: Config, found: dict[str, Any]) -> float | None:
  """Of the training, and of adapting the model or the copies; None where one is not known."""
  taken = [read_json(cache.training(config) / "manifest.json").get(SECONDS)]
  if config.adapts:
    taken.append(read_json(cache.adapted(config).with_suffix(".json")).get("seconds"))
  if config.heals_copies:  # evaluations from before it was measured tell nothing
    taken.append(found.get("copies_seconds"))
  return None if None in taken else round(sum(taken), 2)
