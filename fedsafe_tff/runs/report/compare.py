"""Several runs side by side, in one table."""

from collections.abc import Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.runs.report.render import markdown
from fedsafe_tff.runs.report.run_folder import RunFolder
from fedsafe_tff.training.registry import DEFENSES

_DIGITS = 8  # of commits and of hashes of data


def comparison(runs: Sequence[RunFolder], *, mixed_versions: bool = False) -> str:
  """A Markdown table: a row per run, a column per attack and size that any of them has.

  Rates are those of the adversary's own copy and of the other clients' copies, over all images.

  Args:
    runs: The runs.
    mixed_versions: Whether runs of different keys or splits may stand in one table. A line below
      it then says which have which.

  Raises:
    UserError: They differ, and nobody asked for that; or a later version evaluated one.
  """
  mixed = versions.mixture((str(run.path), versions.drawn_by(run.manifest)) for run in runs)
  if mixed and not mixed_versions:
    raise UserError(
      f"these runs were not made by one version ({mixed}): compare those of one, or give "
      "--mixed_versions to have them in one table, which then says so"
    )
  attacks = dict.fromkeys(key for run in runs for key in _attacks(run))
  headings = [
    "run", "seed", "clean accuracy, global / copies", "best trivial baseline",
    *(f"ASR self / avg, {name} {eps:g}" for name, eps in attacks),
    "seconds", "threads", "commit", "data", "keys, splits, definitions",
  ]  # fmt: skip
  rows = []
  for run in runs:
    found = _attacks(run)
    rows.append(
      [
        run.title(),
        str(run.config.get("seed", "-")),
        _clean(run),
        _trivial(run),
        *(_rates(found.get(key, {})) for key in attacks),
        _number(run.manifest.get("seconds_of_last_session"), ".0f"),
        str(run.manifest.get("threads", "-")),
        str(run.manifest.get("git_commit") or "-")[:_DIGITS],
        str(run.manifest.get("data_hash") or "-")[:_DIGITS],
        ", ".join(map(str, _versions(run).values())),
      ]
    )
  notes = []
  if mixed:
    notes.append(f"**Not drawn alike**, so that differences may be due to that: {mixed}.\n")
  older = [
    str(run.path) for run in runs if _versions(run)["definitions"] not in ("-", definitions.VERSION)
  ]
  if older:
    notes.append(
      "Evaluated by older definitions, which count the copies' clean accuracy on the attacked "
      "images: it is the global model's where all clients hold that, and left out otherwise: "
      f"{', '.join(older)}.\n"
    )
  return "\n".join([markdown(headings, rows), *notes])


def _versions(run: RunFolder) -> dict[str, int | str]:
  """Keys, splits and the evaluation's definitions; "-" before there is one."""
  told = definitions.version_of(run.evaluation, _images(run)) if run.evaluation else "-"
  return {**versions.drawn_by(run.manifest), "definitions": told}


def _images(run: RunFolder) -> int | None:
  return run.manifest.get("data", {}).get("parts", {}).get("evaluation")


def _attacks(run: RunFolder) -> dict[tuple[str, float], dict[str, Any]]:
  return {(row["attack"], row["eps"]): row for row in run.evaluation.get("results", [])}


def _number(value: float | None, form: str = ".3f") -> str:
  return "-" if value is None else format(value, form)


def _clean(run: RunFolder) -> str:
  defense = DEFENSES.get(run.config.get("defense"))
  one_model = defense is None or defense.copies is None
  copies = definitions.accuracies_of_copies(
    run.evaluation, one_model=one_model, evaluation_images=_images(run)
  ) or [None]
  mean = None if None in copies else sum(copies) / len(copies)
  return f"{_number(run.evaluation.get('clean_accuracy_global'))} / {_number(mean)}"


def _trivial(run: RunFolder) -> str:
  baselines = run.evaluation.get("trivial_baselines") or {"-": None}
  name = max(baselines, key=lambda key: baselines[key] or 0.0)
  return f"{_number(baselines[name])} ({name})"


def _rates(row: dict[str, Any]) -> str:
  return f"{_number(row.get('asr_self'))} / {_number(row.get('asr_avg'))}" if row else "-"
