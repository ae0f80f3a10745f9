"""Figure 1: an image, its adversarial perturbation, and both together."""

import pathlib

import numpy as np

from fedsafe_tff.paper import paper
from fedsafe_tff.paper.cache import Cache
from fedsafe_tff.paper.cells import Cell, make_cell
from fedsafe_tff.paper.report import Report, Section, picture, write_tables
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results
from fedsafe_tff.runs.report import plots
from fedsafe_tff.runs.report.run_folder import RunFolder

TITLE = "Figure 1: original, perturbation, adversarial example (FGSM, eps 0.03)"
_HEADINGS = (
  "task",
  "image",
  "class",
  "model before",
  "probability",
  "model after",
  "probability after",
  "largest change",
)


def cells(request: Request) -> list[Cell]:
  """The undefended model of the first seed, for each task."""
  return [
    make_cell(request, task, "none", request.seeds[0], eps=(paper.EPS_FIGURE1,), examples=True)
    for task in request.tasks
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """A triptych per task and what the model says of its images."""
  del results
  cache = Cache.of(request)
  sections, records = [], []
  for cell in cells(request):
    if not cache.has_examples(cell.config):
      continue
    path = cache.examples(cell.config)
    with np.load(path, allow_pickle=False) as archive:
      examples = dict(archive)
    run = RunFolder(
      path=folder / cell.task,
      config={},
      manifest={},
      metrics=[],
      clients=[],
      partition={},
      evaluation={},
      transfer=[],
      examples=examples,
    )
    shown = picture(folder, plots.triptych(run), f"{cell.task}: original, change, attacked")
    source = f"Images: `{path.relative_to(request.cache)}` in the cache.\n"
    sections.append(Section(cell.task, f"{shown}\n{source}"))
    records += _records(cell.task, examples)
  rows = [
    [f"{v:.3f}" if isinstance(v, float) else str(v) for v in record.values()] for record in records
  ]
  text = write_tables(folder, "figure1", _HEADINGS, rows, records, TITLE)
  chosen = (
    "Of the first evaluation images those that the model gets right and the attack fools come "
    "first: the pictures show what an attack looks like, not how often it succeeds.\n\n"
  )
  return Report((*sections, Section("What the model says", chosen + text)))


def _records(task: str, examples: dict[str, np.ndarray]) -> list[dict]:
  names = [str(name) for name in examples["class_names"]]
  return [
    {
      "task": task,
      "image": index + 1,
      "class": names[int(examples["label"][index])],
      "before": names[int(examples["predicted_before"][index])],
      "probability_before": float(examples["probability_before"][index]),
      "after": names[int(examples["predicted_after"][index])],
      "probability_after": float(examples["probability_after"][index]),
      "largest_change": float(np.abs(examples["perturbation"][index]).max()),
    }
    for index in range(len(examples["label"]))
  ]
