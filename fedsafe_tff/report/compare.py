"""Several runs side by side, in one table."""

from collections.abc import Sequence
from typing import Any

from fedsafe_tff.report.render import markdown
from fedsafe_tff.report.run_folder import RunFolder

_DIGITS = 8  # of commits and of hashes of data


def comparison(runs: Sequence[RunFolder]) -> str:
  """A Markdown table: a row per run, a column per attack and size that any of them has.

  Rates are those of the adversary's own copy and of the other clients' copies, over all images.
  """
  attacks = dict.fromkeys(key for run in runs for key in _attacks(run))
  headings = [
    "run", "seed", "clean accuracy, global / copies", "best trivial baseline",
    *(f"ASR self / avg, {name} {eps:g}" for name, eps in attacks),
    "seconds", "threads", "commit", "data",
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
      ]
    )
  return markdown(headings, rows)


def _attacks(run: RunFolder) -> dict[tuple[str, float], dict[str, Any]]:
  return {(row["attack"], row["eps"]): row for row in run.evaluation.get("results", [])}


def _number(value: float | None, form: str = ".3f") -> str:
  return "-" if value is None else format(value, form)


def _clean(run: RunFolder) -> str:
  copies = run.evaluation.get("clean_accuracy_clients") or [None]
  mean = None if None in copies else sum(copies) / len(copies)
  return f"{_number(run.evaluation.get('clean_accuracy_global'))} / {_number(mean)}"


def _trivial(run: RunFolder) -> str:
  baselines = run.evaluation.get("trivial_baselines") or {"-": None}
  name = max(baselines, key=lambda key: baselines[key] or 0.0)
  return f"{_number(baselines[name])} ({name})"


def _rates(row: dict[str, Any]) -> str:
  return f"{_number(row.get('asr_self'))} / {_number(row.get('asr_avg'))}" if row else "-"
