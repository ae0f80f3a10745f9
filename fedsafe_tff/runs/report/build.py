"""Draws the plots of a run folder and writes its `report.html`, one file without network access."""

import base64
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.config import BEFORE
from fedsafe_tff.runs.report import (
  certificates_page,
  plots,
  privacy_section,
  strata_table,
  survey_page,
  table,
  templates,
  warnings,
)
from fedsafe_tff.runs.report.run_folder import RunFolder

_PLOTS = (
  (
    plots.asr_against_eps,
    "Attack success rate against perturbation size",
    "Share of labels that an attack changes, for the adversary's own copy and the others'.",
  ),
  (
    plots.transfer_heatmap,
    "Transfer matrix",
    "Every client in turn is the adversary; rows adversaries, columns victims.",
  ),
  (
    plots.triptych,
    "Original, perturbation, adversarial example",
    "As Figure 1 of the paper, by the attack named in it, on the first client's copy; fooled "
    "images first.",
  ),
  (
    plots.learning_curves,
    "Learning curves",
    "Loss and accuracy of the clients' training, on what they train on, and of the global model on "
    "validation images. Where accuracy on attacked ones falls from its best while training gets "
    "better, the model overfits to the attacks of its training.",
  ),
  (
    plots.adaptation_passes,
    "Iterated adaptation",
    "What each pass finds that is new. Only where the last one finds nothing does the retraining "
    "risk bound the adversarial risk (Eq. 8 to 10).",
  ),
  (plots.client_labels, "Label distribution over the clients", "Training images of each client."),
)
_MOST_CLIENTS = 200  # rows of a table


def build(path: str | pathlib.Path, damaged: list[str] | None = None) -> pathlib.Path:
  """Builds the report of a run folder; what an interrupted run lacks is left out.

  Args:
    path: The run folder.
    damaged: Takes the names of damaged files, which the page names and leaves out; None makes them
      errors.

  Returns:
    Path of `report.html`.

  Raises:
    UserError: `path` is no run folder, or a file of it is damaged.
  """
  run = RunFolder.read(path, damaged)
  pictures = []
  for draw, title, text in _PLOTS:
    png = draw(run)
    if png is not None:
      data = base64.b64encode(png.read_bytes()).decode()
      pictures.append({"title": title, "text": text, "data": data})
  last_round = max((r["round"] for r in run.clients), default=None)
  last = [r for r in run.clients if r["round"] == last_round]
  certified = certificates_page.sections(run.path, damaged)
  survey, strips = survey_page.stored(run.path)
  page = templates.environment().get_template("report.html.jinja").render(
    run=run,
    headings=[heading for _, heading in table.COLUMNS],
    trivial_legend=table.trivial_legend(run.evaluation),
    warnings=[
      *map(_damaged, damaged or ()),
      *warnings.left_out(run.metrics, run.clients),
      *warnings.warnings(run.evaluation),
      *_older(run),
    ],
    evaluated=_attacks("Attacks", run.evaluation),
    again=[_attacks(f"Evaluated again: {name}", found) for name, found in run.again.items()],
    pictures=pictures,
    strata=strata_table.rows(run.evaluation),
    strata_headings=[heading for _, heading in strata_table.COLUMNS],
    strata_legend=strata_table.LEGEND,
    survey=survey,
    strips=strips,
    left_out=strata_table.left_out((survey or {}).get("inventory") or {}),
    clients=last[:_MOST_CLIENTS],
    clients_in_all=len(last),
    of_clients=len(run.partition.get("clients", ())),
    command=_command(run),
    privacy=_privacy(run),
    certified=certified,
    certified_headings=certificates_page.HEADINGS,
  )
  report = run.path / "report.html"
  with atomic_path(report) as temporary:
    temporary.write_text(page, encoding="utf-8")
  return report


def _privacy(run: RunFolder) -> dict[str, Any]:
  """The section on privacy, with epsilon over the rounds as a picture and in words."""
  made = privacy_section.section(run) | {"picture": None}
  png = plots.privacy_over_rounds(run) if _PLOTS else None
  if png is None:
    return made
  rounds, epsilons = run.column("epsilon")
  alternative = (
    f"Epsilon over the rounds: {epsilons[0]:.4g} after round {rounds[0]:g}, {epsilons[-1]:.4g} "
    f"after round {rounds[-1]:g}"
  )
  data = base64.b64encode(png.read_bytes()).decode()
  return made | {"picture": {"alternative": alternative, "data": data}}


def _damaged(name: str) -> str:
  return f"{name} is damaged and left out: run the command that made it again."


def _attacks(title: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
  """What the page says of one evaluation."""
  return {
    "title": title,
    "suite": evaluation.get("evaluation", "paper"),
    "images": evaluation.get("attacked_images"),
    "rows": table.cells(table.entries_of(evaluation)),
    "legend": table.legend(evaluation),
    "trials": table.cells(evaluation.get("trials", [])),
    "masking": (evaluation.get("masking") or {}).get("checks", []),
    "warnings": warnings.warnings(evaluation),
  }


def _older(run: RunFolder) -> list[str]:
  """What in the folder an older version made, or was made of models of before."""
  told = []
  for name, evaluation in {"": run.evaluation, **run.again}.items():
    where = f"{name}: " if name else ""
    found = warnings.other_attackers(evaluation, run.heals_copies())
    told += [where + line for line in found]
  renewed = run.manifest.get("models_renewed")
  if renewed and (run.again or run.audit or (run.path / "certificates").is_dir()):
    told.append(
      f"models were made again at {renewed} and are others than before: attacks/, audit/ and "
      "certificates/ from before are of the old ones"
    )
  return told


def _command(run: RunFolder) -> str:
  """The settings that are not at their defaults: what was typed may have been another command."""
  usual = Config().as_dict()
  words = [
    f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
    for name, value in (BEFORE | run.config).items()
    if name in usual and value != usual[name] and name not in ("run_dir", "cache_dir")
  ]
  return shlex.join(["python", "-m", "experiments.train", *words])
