"""The page of a table or figure: what came of it, what the paper claims, how it was made."""

import dataclasses
import pathlib
from collections.abc import Sequence

from fedsafe_tff.paper import identity, mixture
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import Cell, method_name
from fedsafe_tff.paper.claim import DEFINITION, Claim
from fedsafe_tff.paper.report import Report
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.steps import ADAPT, ATTACK, TRAIN, measured
from fedsafe_tff.runs.config.defense import DefenseConfig
from fedsafe_tff.runs.report import render
from fedsafe_tff.runs.report.progress import duration

# Settings of a defence and of an attack; those of the training stand with it.
_DEFENSE = tuple(f.name for f in dataclasses.fields(DefenseConfig) if f.name != "defense")
_ATTACK = (
  "evaluation",
  "attacks",
  "attack_steps",
  "attack_step_size",
  "attack_random_start",
  "attack_images",
  "attack_colluders",
)


def write(
  folder: pathlib.Path,
  title: str,
  report: Report,
  request: Request,
  cells: Sequence[Cell],
  failures: Sequence[tuple[str, str]],
  rows: Sequence[mixture.Row],
  mixed: str,
  notes: Sequence[str] = (),
) -> pathlib.Path:
  """Writes `README.md` into `folder` and returns its path.

  Args:
    folder: Where.
    title: Heading.
    report: What was found.
    request: What was asked for.
    cells: All that were asked for.
    failures: Titles of those that are lacking, with the reason.
    rows: The numbers behind the report, as `rows.of_cells` makes them.
    mixed: Which of them have which versions, where they differ.
    notes: What else is to be known of how it was made.
  """
  parts = [f"# {title}\n"]
  if mixed:
    parts.append(mixture.warning(mixed))
  if report.claims:
    parts.append("## The paper's claims\n\n" + _claims(report.claims))
  parts += [f"## {section.title}\n\n{section.text}" for section in report.sections]
  if failures:
    lines = "".join(f"- {name}: {reason}\n" for name, reason in failures)
    parts.append(f"## Cells that are lacking\n\n{lines}")
  parts.append("## How it was made\n\n" + _making(request, cells, rows, notes))
  path = folder / "README.md"
  render.write_text(path, "\n".join(parts))
  return path


def _claims(claims: Sequence[Claim]) -> str:
  rows = [[str(n), c.text, f"**{c.verdict}**"] for n, c in enumerate(claims, 1)]
  evidence = [f"{n}. {' '.join(c.evidence) or 'No results.'}" for n, c in enumerate(claims, 1)]
  table = render.markdown(["", "claim", "verdict"], rows)
  return f"{table}\n{DEFINITION}\n\nEvidence:\n\n" + "\n".join(evidence) + "\n"


def _making(
  request: Request, cells: Sequence[Cell], rows: Sequence[mixture.Row], notes: Sequence[str]
) -> str:
  cache = Cache.of(request)
  taken = measured(cells, cache)
  seconds = {kind: sum(s for step, s in taken if step.kind == kind) for kind in (TRAIN, ADAPT)}
  attacks = sum(s for step, s in taken if step.kind == ATTACK)
  hardware, versions, commits, manifests = set(), set(), set(), []
  for cell in cells:
    manifest = read_json(cache.training(cell.config) / "manifest.json")
    if manifest:
      manifests.append(manifest)
      facts = manifest["hardware"]
      hardware.add(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']:g} GiB")
      hardware |= {str(d) for d in manifest.get("runtime", {}).get("devices", [])}
      versions.add(
        ", ".join(f"{n} {manifest['versions'][n]}" for n in ("tensorflow", "tensorflow-federated"))
      )
      commits.add(str(manifest["git_commit"]))
  commits |= {str(row["git_commit"]) for row in rows if row.get("git_commit")}
  trainings = {cache.training(cell.config) for cell in cells}
  lines = [
    f"```\n{request.command}\n```\n",
    f"- seeds: {', '.join(map(str, request.seeds))}",
    f"- hardware: {'; '.join(sorted(hardware)) or 'unknown'}",
    f"- software: {'; '.join(sorted(versions))}; commit {', '.join(sorted(commits))}",
    *(f"- {line}" for line in mixture.facts(rows, manifests)),
    f"- time: {duration(seconds[TRAIN])} for {len(trainings)} trainings, "
    f"{duration(seconds[ADAPT])} for adaptation, {duration(attacks)} for attacks, wherever "
    "they were done for the first time; other tables and figures share them",
    "- `numbers.csv`: every number by seed, with the evaluation's file and the training's folder "
    "in the cache; these hold configuration, commit, data hash and transfer matrix",
    *(f"- {note}" for note in notes),
  ]
  return "\n".join(lines) + f"\n\nSettings:\n\n{_settings(cells)}"


def _settings(cells: Sequence[Cell]) -> str:
  """What each task's trainings, and each method's defence and attack, were set to."""
  training, methods = {}, {}
  for cell in cells:
    found = identity.training_config(cell.config).identity()
    hidden = ("seed", "defense", *_DEFENSE)
    told = [f"--{name}={_flag(value)}" for name, value in found.items() if name not in hidden]
    if cell.config.init_from:  # where the file lay tells nobody what was in it
      told.append(f"--init_from={pathlib.Path(cell.config.init_from).name}")
    training.setdefault(cell.task, f"- {cell.task}, first training: `{' '.join(told)}`\n")
    values, idle = cell.config.as_dict(), cell.config.inapplicable()
    shown = [f"--{n}={_flag(values[n])}" for n in (*_DEFENSE, *_ATTACK) if n not in idle]
    line = f"`{' '.join(shown)}`"
    # Told once where all tasks agree.
    methods.setdefault((cell.method, cell.variant), {}).setdefault(line, []).append(cell.task)
  lines = []
  for (method, variant), by_line in methods.items():
    name = ", ".join(part for part in (method_name(method), variant) if part)
    for line, tasks in by_line.items():
      where = "" if len(by_line) == 1 else f" ({', '.join(dict.fromkeys(tasks))})"
      lines.append(f"- {name}{where}: {line}\n")
  return "".join((*training.values(), *lines))


def _flag(value: object) -> str:
  return ",".join(map(str, value)) if isinstance(value, list) else str(value)
