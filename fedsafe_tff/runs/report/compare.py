"""Several runs side by side, in one table."""

from collections.abc import Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.config import BEFORE
from fedsafe_tff.runs.report import run_folder, same_images
from fedsafe_tff.runs.report.render import markdown, plain
from fedsafe_tff.runs.report.run_folder import OWN_COPY, RunFolder
from fedsafe_tff.runs.report.warnings import collapsed, masked
from fedsafe_tff.training import own
from fedsafe_tff.training.registry import defense_of

_DIGITS = 8  # of commits and of hashes of data
# Settings that have a column or a place in the title, or tell where a run lives.
_MIXED = "so that differences may be due to that"
_TOLD = (
  "dataset", "task", "algorithm", "defense", "seed", "threads",
  "run_dir", "cache_dir", "keep_checkpoints", "checkpoint_every",
  "gpu_memory_limit", "ray_address",
)  # fmt: skip


def comparison(runs: Sequence[RunFolder], *, mixed_versions: bool = False) -> str:
  """A Markdown table: a row per run, columns per attack and size that any of them has.

  Beside them stands a column for every setting that differs, and for no other.

  Rates are those of the adversary's own copy and of the other clients' copies, over all images.

  Args:
    runs: The runs.
    mixed_versions: Whether runs of different keys or splits may stand in one table. A line below
      it then says which have which.

  Raises:
    UserError: They differ, and nobody asked for that; or a later version evaluated one.
  """
  mixed = mixture(runs)
  if mixed and not mixed_versions:
    raise UserError(
      f"these runs were not made by one version ({mixed}): compare those of one, or give "
      "--mixed_versions to have them in one table, which then says so"
    )
  attacks = dict.fromkeys(key for run in runs for key in _attacks(run))
  options = differing(runs)
  headings = [
    "run", *(f"--{name}" for name in options), "seed",
    "clean accuracy, global / copies", "best trivial baseline",
    *(
      f"{what} self / avg, {plain(_attack_title(*key))}"
      for key in attacks
      for what in ("ASR", "robust accuracy")
    ),
    "seconds of training", "threads", "commit", "data", "keys, splits, definitions",
  ]  # fmt: skip
  rows = []
  names = run_folder.names(runs)
  for run, name in zip(runs, names):
    found = _attacks(run)
    rows.append(
      [
        plain(name),
        *(plain(option(run, name)) for name in options),
        str(run.config.get("seed", "-")),
        _clean(run),
        _trivial(run),
        *(
          _rates(found.get(key, {}), name)
          for key in attacks
          for name in ("asr", "attack_accuracy")
        ),
        _number(run.training_seconds(), ".0f"),
        str(run.manifest.get("threads", "-")),
        plain(str(run.manifest.get("git_commit") or "-")[:_DIGITS]),
        plain(str(run.manifest.get("data_hash") or "-")[:_DIGITS]),
        plain(", ".join(map(str, _versions(run).values()))),
      ]
    )
  # One may be given twice.
  once = {run.path.resolve(): (run, name) for run, name in zip(runs, names)}.values()
  notes = [
    f"{sign} {plain(name)}: {plain(line)}\n"
    for run, name in once
    for sign, lines in (("†", collapsed(run.evaluation)), ("‡", masked(run.evaluation)))
    for line in lines
  ]
  if mixed:
    notes.append(f"**Not drawn alike**, {_MIXED}: {mixed}.\n")
  older = [
    plain(str(run.path))
    for run, _ in once
    if _versions(run)["definitions"] not in ("-", definitions.VERSION)
  ]
  if older:
    notes.append(
      "Evaluated by older definitions, which count the copies' clean accuracy on the attacked "
      "images: it is the global model's where all clients hold that, and left out otherwise: "
      f"{', '.join(older)}.\n"
    )
  same = same_images.table(runs, names)
  return "\n".join([markdown(headings, rows), *notes, *([same] if same else [])])


def mixture(runs: Sequence[RunFolder]) -> str:
  """Which keys and splits the runs have, where they differ; "" where they don't."""
  return versions.mixture((str(run.path), versions.drawn_by(run.manifest)) for run in runs)


def mixture_note(runs: Sequence[RunFolder]) -> str:
  """The same as a sentence."""
  mixed = mixture(runs)
  return f"Not drawn alike, {_MIXED}: {mixed}." if mixed else ""


def _versions(run: RunFolder) -> dict[str, int | str]:
  """Keys, splits and the evaluation's definitions; "-" before there is one."""
  told = definitions.version_of(run.evaluation, _images(run)) if run.evaluation else "-"
  return {**versions.drawn_by(run.manifest), "definitions": told}


def _images(run: RunFolder) -> int | None:
  return run.manifest.get("data", {}).get("parts", {}).get("evaluation")


def _attacks(run: RunFolder) -> dict[tuple[str, str, float], dict[str, Any]]:
  return {
    (row.get("attacker", OWN_COPY), row["attack"], row["eps"]): row
    for row in run.evaluation.get("results", [])
  }


def _attack_title(attacker: str, attack: str, eps: float) -> str:
  return f"{'' if attacker == OWN_COPY else f'{attacker}, '}{attack} {eps:g}"


def differing(runs: Sequence[RunFolder]) -> list[str]:
  """Names of the settings in which the runs differ, less those that titles tell anyway."""
  names = [name for name in Config().as_dict() if name not in _TOLD]
  if len({run.manifest.get("data_hash") for run in runs}) == 1:
    names.remove("data_dir")  # the same images, wherever they lie
  return [name for name in names if len({option(run, name) for run in runs}) > 1]


def option(run: RunFolder, name: str) -> str:
  """A setting of a run; what an older run does not know is at its default."""
  value = (Config().as_dict() | BEFORE | run.config)[name]
  return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None, form: str = ".3f") -> str:
  return "-" if value is None else format(value, form)


def clean_of_copies(run: RunFolder) -> float | None:
  """Mean clean accuracy of what clients hold, on all evaluation images; None where unknown."""
  name = run.config.get("defense", "none")
  # A user's file may be gone; older definitions, which need to know, had no such defences.
  one_model = not own.is_own(name) and defense_of(name).copies is None
  copies = definitions.accuracies_of_copies(
    run.evaluation, one_model=one_model, evaluation_images=_images(run)
  ) or [None]
  return None if None in copies else sum(copies) / len(copies)


def _clean(run: RunFolder) -> str:
  mean = clean_of_copies(run)
  marks = (" †" if collapsed(run.evaluation) else "") + (" ‡" if masked(run.evaluation) else "")
  return f"{_number(run.evaluation.get('clean_accuracy_global'))} / {_number(mean)}{marks}"


def _trivial(run: RunFolder) -> str:
  baselines = run.evaluation.get("trivial_baselines") or {"-": None}
  name = max(baselines, key=lambda key: baselines[key] or 0.0)
  return f"{_number(baselines[name])} ({plain(name)})"


def _rates(row: dict[str, Any], name: str) -> str:
  return f"{_number(row.get(f'{name}_self'))} / {_number(row.get(f'{name}_avg'))}" if row else "-"
