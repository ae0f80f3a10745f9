"""Curves of several runs that differ in their seed alone: one picture, one page, every point kept.

A point of one training moves by a tenth and more from seed to seed, so that a curve of one run says
little. Each run keeps its own `curves` folder; the page is made of those.
"""

import dataclasses
import pathlib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from fedsafe_tff.data import loading
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import curves, inputs
from fedsafe_tff.runs.config.evaluation import EvaluationConfig
from fedsafe_tff.runs.rebuild import config_of
from fedsafe_tff.runs.report import compare, curve_plots, render
from fedsafe_tff.runs.report.run_folder import RunFolder

_RATES = ("asr_self", "asr_avg", "clean_accuracy")
_SEEDS = ("seed", "noise_seed")
_ALIKE = ("dataset", "task", "defense", "algorithm")  # beside what `compare.differing` knows
_COLUMNS = {
  "sigma": "sigma", "colluders": "colluders", "rounds": "rounds averaged", "queries": "questions",
}  # fmt: skip


def curves_of_runs(
  folders: Sequence[str], out: pathlib.Path, grid: curves.Grid, *, log: curves.Log, **moved: str
) -> pathlib.Path:
  """Makes the curves of every run, then `curves.csv`, `curves.png` and `README.md` of all.

  Args:
    folders: Run folders.
    out: Where what is of all of them goes.
    grid: What is looked at, in each.
    log: Is told of each run and point.
    **moved: As in `curves.curves_of_run`.

  Returns:
    The page.

  Raises:
    UserError: The runs differ in more than their seed, two have one seed, or `out` can't be made;
      or what `curves.curves_of_run` raises.
  """
  runs = [RunFolder.read(folder) for folder in folders]
  sigma = _check(runs)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"--out={out} can't be made ({error.strerror}): choose another folder"
    ) from None
  rows: list[dict[str, Any]] = []
  images = set()
  for number, run in enumerate(runs, 1):
    log(f"run {number}/{len(runs)}: {run.path}")
    made = curves.curves_of_run(run.path, grid, log=log, **moved)
    rows += [{"seed": run.config["seed"]} | point for point in made.points]
    images.add(made.images)
  means = means_of(rows)
  render.write_csv(out / "curves.csv", rows)
  curve_plots.write(out / "curves.png", means, sigma)
  render.write_text(out / "README.md", _page(runs, grid, means, sigma, images))
  return out / "README.md"


def _check(runs: Sequence[RunFolder]) -> float:
  """Refuses runs that are not one run at several seeds; returns the sigma of their noise."""
  attacks = {field.name for field in dataclasses.fields(EvaluationConfig)}  # curves have their own
  other = [
    name
    for name in dict.fromkeys([*compare.differing(runs), *_ALIKE])
    if name not in {*_SEEDS, *attacks} and len({compare.option(run, name) for run in runs}) > 1
  ]
  if other:
    raise UserError(
      f"these runs differ in --{', --'.join(other)}: curves are averaged over runs that differ in "
      "their seed alone"
    )
  seeds = [run.config["seed"] for run in runs]
  if len(set(seeds)) < len(seeds):
    raise UserError(f"two of these runs have one seed ({_listed(seeds)}): give each seed once")
  hashes = {run.manifest.get("data_hash") for run in runs}
  spec = dataclasses.replace(inputs.data_spec(config_of(runs[0])), seed=1)
  if len(hashes) > 1 and not loading.relevant(spec).seed:  # else the seed draws them
    raise UserError("these runs were trained on other images each: take runs of one data set")
  sigmas = {run.manifest.get("noise", {}).get("downlink_sigma", 0.0) for run in runs}
  if len(sigmas) > 1:
    raise UserError(
      f"the copies' noise of these runs differs, sigma {_listed(sigmas)}: give runs of one sigma"
    )
  return sigmas.pop() or curves.PAPERS_SIGMA


def means_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """A point per curve, x, size and attacker, over seeds.

  Returns:
    The points in their order, rates as means, with `NAME_low` and `NAME_high`, the least and the
    most of any seed, and `seeds`, how many there are.
  """
  groups: dict[tuple, list[dict[str, Any]]] = {}
  for row in rows:
    key = tuple(row[name] for name in ("curve", "x", "eps", "attacker"))
    groups.setdefault(key, []).append(row)
  made = []
  for (curve, x, eps, attacker), group in groups.items():
    point = {"curve": curve, "x": x, "eps": eps, "attacker": attacker, "seeds": len(group)}
    for name in _RATES:
      values = [row[name] for row in group if row[name] is not None]
      point[name] = sum(values) / len(values) if values else None
      point[f"{name}_low"] = min(values, default=None)
      point[f"{name}_high"] = max(values, default=None)
    made.append(point)
  return made


def _listed(values: Iterable[float]) -> str:
  return ", ".join(map(str, sorted(values)))


def _page(
  runs: Sequence[RunFolder],
  grid: curves.Grid,
  means: Sequence[dict[str, Any]],
  sigma: float,
  images: set[int],
) -> str:
  seeds = _listed(run.config["seed"] for run in runs)
  commits = sorted({str(run.manifest.get("git_commit") or "-")[:8] for run in runs})
  tables = [
    f"## Over {label}\n\n{_table([p for p in means if p['curve'] == curve], label, grid.eps)}"
    for curve, label in _COLUMNS.items()
  ]
  return "\n".join([
    f"# Noise on the copies: {render.plain(runs[0].title())}\n",
    f"Mean over seeds {seeds}, in brackets the least and the most of any; {_listed(images)} "
    f"evaluation images of each, momentum with {grid.steps} steps of eps/4 on the margin, a black "
    f"box with Square. Copies are drawn around the runs' global models; sigma is {sigma:g} where "
    f"it is not what varies, and {grid.clients} clients have copies where some collude. Rates "
    "of success, self (the adversary's own copy) / avg (the others').\n",
    "![Curves](curves.png)\n",
    *tables,
    f"Trained by {', '.join(commits)}. Points: [curves.csv](curves.csv), a row per seed. Made by\n",
    "```\n"
    + shlex.join([
      "python", "-m", "experiments.curves", *(run.path.name for run in runs),
      "--attack_eps=" + ",".join(f"{eps:g}" for eps in grid.eps),
      f"--attack_images={grid.images}", "--out=FOLDER",
    ])
    + "\n```\n",
  ])  # fmt: skip


def _table(points: Sequence[dict[str, Any]], label: str, sizes: Sequence[float]) -> str:
  lines = []
  for x, attacker in dict.fromkeys((p["x"], p["attacker"]) for p in points):
    here = [p for p in points if (p["x"], p["attacker"]) == (x, attacker)]
    rates = [
      " / ".join(_rate(p, side) for side in ("asr_self", "asr_avg"))
      for eps in sizes
      for p in here
      if p["eps"] == eps
    ]
    lines.append([f"{x:g}", f"`{attacker}`", _rate(here[0], "clean_accuracy"), *rates])
  return render.markdown(
    [label, "attacker", "clean accuracy", *(f"eps {e:g}" for e in sizes)], lines
  )


def _rate(point: dict[str, Any], name: str) -> str:
  if point[name] is None:
    return "-"
  low, high = point[f"{name}_low"], point[f"{name}_high"]
  spread = f" ({low:.2f} to {high:.2f})" if point["seeds"] > 1 else ""
  return f"{point[name]:.2f}{spread}"
