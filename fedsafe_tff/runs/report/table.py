"""The results of a run as a table on the terminal."""

import io

import rich.box
import rich.console
import rich.table

from fedsafe_tff.runs.report.run_folder import RunFolder

COLUMNS = (
  ("attack", "attack"),
  ("eps", "eps"),
  ("clean_accuracy", "clean acc."),
  ("asr_self", "ASR self"),
  ("asr_avg", "ASR avg"),
  ("asr_self_correct", "self*"),
  ("asr_avg_correct", "avg*"),
  ("attack_accuracy_self", "acc. self"),
  ("attack_accuracy_avg", "acc. avg"),
  ("random_noise_flip_rate", "random"),
  ("zero_gradient_share", "zero grad."),
)
LEGEND = (
  "self: the adversary's own copy; avg: the other clients' copies; * among images that the "
  "model gets right; acc.: accuracy on attacked images; random: labels changed by random noise of "
  "the same size; zero grad.: images without a gradient; attack any: labels that any of the "
  "attacks flips at any of its steps."
)


def cell(value: object, name: str) -> str:
  """A value as it stands in the table."""
  if value is None:
    return "-"
  if name == "eps":
    return f"{value:g}"
  return value if isinstance(value, str) else f"{value:.3f}"


def rows(run: RunFolder) -> list[list[str]]:
  """The cells of a run's attacks, line by line under `COLUMNS`."""
  entries = run.evaluation.get("results", []) + run.evaluation.get("worst_case", [])
  return [[cell(entry.get(name), name) for name, _ in COLUMNS] for entry in entries]


def summary(run: RunFolder, *, terminal: bool = False) -> str:
  """The table and its legend as text; plain ASCII unless it goes to a terminal."""
  if not run.evaluation.get("results"):
    return f"{run.path}: no evaluation yet"
  table = rich.table.Table(
    title=run.title(),
    box=rich.box.SIMPLE_HEAD if terminal else rich.box.ASCII,
    title_justify="left",
  )
  for name, heading in COLUMNS:
    table.add_column(heading, justify="left" if name == "attack" else "right")
  for row in rows(run):
    table.add_row(*row)
  stream = io.StringIO()
  console = rich.console.Console(
    file=stream, width=118, force_terminal=terminal, color_system="standard" if terminal else None
  )
  console.print(table)
  console.print(LEGEND, markup=False)
  clean = run.evaluation["clean_accuracy_global"]
  baselines = run.evaluation.get("trivial_baselines", {})
  others = ", ".join(f"{name} {score:.3f}" for name, score in baselines.items())
  console.print(f"clean accuracy of the global model {clean:.3f} (trivial: {others})", markup=False)
  return stream.getvalue()
