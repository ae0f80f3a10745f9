"""The results of a run as a table on the terminal."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table

from fedsafe_tff.runs.report.run_folder import OWN_COPY, RunFolder
from fedsafe_tff.runs.report.warnings import warnings

COLUMNS = (
  ("attacker", "attacker"),
  ("attack", "attack"),
  ("eps", "eps"),
  ("clean_accuracy", "clean acc."),
  ("asr_self", "ASR self"),
  ("asr_avg", "ASR avg"),
  ("asr_self_correct", "self*"),
  ("asr_avg_correct", "avg*"),
  ("attack_accuracy_self", "robust self"),
  ("attack_accuracy_avg", "robust avg"),
  ("random_noise_flip_rate", "random"),
  ("zero_gradient_share", "zero grad."),
)
_WIDTH = 150
_LEGEND = (
  "self: the adversary's own copy; avg: the other clients' copies; * among images that the "
  "model gets right; robust: accuracy on attacked images; random: labels changed by random noise "
  "of the same size; zero grad.: images without a gradient."
)
_WORST = "worst of n: an image is lost if any of n attacks gets it."
_SAMPLED = (
  "{sampled_clients} of {of_clients} clients, drawn by the seed, attack and are attacked; their "
  "95 % intervals (jackknife over clients):"
)
_ANY = "attack any: labels that any of the attacks flips at any of its steps."
_WHO = {
  OWN_COPY: "attacks through the copy that it received",
  "noise_ensemble": "knows the noise and attacks through its own draws around its copy",
  "averaging": "attacks the mean of the copies of several rounds",
  "round_history": "attacks through what it received in earlier rounds and its own copy",
  "colluding": "clients who attack the mean of their copies; avg is over the clients outside",
  "colluding_mean": "clients who attack the mean of their copies; avg is over the clients outside",
  "colluding_ensemble": "clients who attack through all their copies",
  "local_update": "trains its copy on its data first",
  "surrogate": "has no copy, and attacks through a model trained on its own data alone",
  "imitation": "makes copies as the server does, and attacks through all of them",
  "colluding_imitation": "clients who make copies of the mean of theirs, as the server does",
  "imitation_all_images": "makes copies as the server does, with the images of all clients",
  "black_box": "asks each victim for scores, and holds nothing",
  "black_box_labels": "asks each victim for labels alone, and holds nothing",
  "worst": "an image is lost if any of the attackers gets it; avg is over those outside of all",
}
_TRIVIAL = {
  "majority_class": "always the largest class",
  "color_ridge": "ridge regression on colour statistics",
  "nearest_mean": "the class whose mean image is nearest",
  "source_512": "a file of 512x512 pixels means tumour: it reads files, not images",
}


def legend(evaluation: Mapping[str, Any]) -> list[str]:
  """Lines that explain the rows and columns that there are, and no others."""
  entries = entries_of(evaluation)
  lines = [_LEGEND]
  if any(str(entry["attack"]).startswith("worst of") for entry in entries):
    lines.append(_WORST)
  if any(entry["attack"] == "any" for entry in entries):
    lines.append(_ANY)
  sampled = [entry for entry in entries if entry.get("sampled_clients")]
  if sampled:
    lines.append(_SAMPLED.format(**sampled[0]))
    for entry in sampled:
      lines.append(f"{entry['attacker']}, {entry['attack']} {entry['eps']:g}: {_ends(entry)}.")
  lines += _intervals(evaluation)
  lines += [
    f"{entry['attacker']} asked {entry['queries']:.0f} times an image at eps {entry['eps']:g}, in "
    "the mean."
    for entry in entries
    if entry.get("queries") is not None and entry["attacker"] != "worst"
  ]
  names = dict.fromkeys(entry.get("attacker") for entry in entries)
  if set(names) - {None, OWN_COPY}:
    told = {name: _WHO.get(str(name).partition(":")[0]) for name in names}
    told = [f"{name} {text}" for name, text in told.items() if text]
    lines.append(f"attackers: {'; '.join(told)}.")
  for name, told in evaluation.get("notes", {}).items():
    lines.append(f"attacker {name} here: {told}.")
  for name, reason in evaluation.get("left_out", {}).items():
    lines.append(f"attacker {name} is left out: {reason}.")
  return lines


def _intervals(evaluation: Mapping[str, Any]) -> list[str]:
  """What chance of the images leaves of the last attacker's rates, who is all of them together."""
  rows = evaluation.get("results", [])
  last = rows[-1].get("attacker") if rows else None
  lines = []
  for row in rows:
    ends = row.get("intervals") or {}
    told = [
      f"{heading} [{ends[name][0]:.3f}, {ends[name][1]:.3f}]"
      for name, heading in COLUMNS
      if name in ends
    ]
    if told and row.get("attacker") == last:
      lines.append(
        f"95 % intervals over the images (Wilson), {row['attack']} eps {row['eps']:g}: "
        f"{', '.join(told)}."
      )
  return lines


def _ends(entry: Mapping[str, Any]) -> str:
  """The intervals of sampled rates."""
  told = [
    f"{heading} {entry[name]:.3f} [{entry[f'{name}_low']:.3f}, {entry[f'{name}_high']:.3f}]"
    for name, heading in COLUMNS
    if entry.get(f"{name}_low") is not None and entry.get(name) is not None
  ]
  return ", ".join(told) or "too few clients for an interval"


def trivial_legend(evaluation: Mapping[str, Any]) -> str:
  """What the trivial baselines are that there are."""
  told = [f"{n}: {_TRIVIAL[n]}" for n in evaluation.get("trivial_baselines", {}) if n in _TRIVIAL]
  return "; ".join(told)


def entries_of(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
  """The rows of the table of results; an older one names no attacker: it had one alone."""
  found = [*evaluation.get("results", []), *evaluation.get("worst_case", [])]
  return [{"attacker": OWN_COPY} | entry for entry in found]


def cell(value: object, name: str) -> str:
  """A value as it stands in the table."""
  if value is None:
    return "-"
  if name == "eps":
    return f"{value:g}"
  return value if isinstance(value, str) else f"{value:.3f}"


def cells(entries: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The cells of results, line by line under `COLUMNS`."""
  return [[cell(entry.get(name), name) for name, _ in COLUMNS] for entry in entries]


def rows(run: RunFolder) -> list[list[str]]:
  """The cells of a run's attacks, line by line under `COLUMNS`."""
  return cells(entries_of(run.evaluation))


def summary(run: RunFolder, *, terminal: bool = False) -> str:
  """The table and its legend as text; plain ASCII unless it goes to a terminal."""
  if not run.evaluation.get("results"):
    return f"{run.path}: no evaluation yet"
  return text_of(run.title(), run.evaluation, terminal=terminal)


def text_of(title: str, evaluation: Mapping[str, Any], *, terminal: bool = False) -> str:
  """A table of results with its legend and warnings; plain ASCII unless it goes to a terminal."""
  table = rich.table.Table(
    title=title,
    box=rich.box.SIMPLE_HEAD if terminal else rich.box.ASCII,
    title_justify="left",
  )
  for name, heading in COLUMNS:
    table.add_column(heading, justify="left" if name in ("attacker", "attack") else "right")
  for row in cells(entries_of(evaluation)):
    table.add_row(*row)
  stream = io.StringIO()
  colors = "standard" if terminal else None
  console = rich.console.Console(
    file=stream, width=_WIDTH, force_terminal=terminal, color_system=colors
  )
  console.print(table)
  for line in legend(evaluation):
    console.print(line, markup=False)
  clean = cell(evaluation.get("clean_accuracy_global"), "clean_accuracy")
  baselines = evaluation.get("trivial_baselines", {})
  others = ", ".join(f"{name} {score:.3f}" for name, score in baselines.items())
  console.print(f"clean accuracy of the global model {clean} (trivial: {others})", markup=False)
  for line in warnings(evaluation):
    console.print(f"WARNING: {line}", markup=False, soft_wrap=True)
  return stream.getvalue()
