"""Against whom noise on the copies helps, as curves over a finished run's global model.

No training: copies are the global model with plain noise, as the paper's server draws them,
whatever the run's own copies are, so that there may be more clients, other sigmas and more rounds
than it had. Results go into the folder `curves` of the run, point by point: a session that is
stopped goes on.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import Averaging, Colluding, NoiseEnsemble, OwnCopy
from fedsafe_tff.attacks.ensemble import GaussianRedraw
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.data.files import locked
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs import run_dir, targets, trials
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.load import LoadedRun, load_run
from fedsafe_tff.runs.report import curve_plots, render

FOLDER = "curves"
PAPERS_SIGMA = 0.01  # of a run whose copies have no noise
Log = Callable[[str], None]
Weights = tuple[tf.Tensor, ...]
Point = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Curves:
  """The curves of a run.

  Attributes:
    points: `curve` (sigma, colluders, rounds or queries), `x`, `eps`, `attacker`, rates as in
      `AttackResult.summary`, and `clean_accuracy` of the copies on all evaluation images.
    sigma: Of the copies' noise in all curves but the first.
    images: How many were attacked.
  """

  points: list[Point]
  sigma: float
  images: int


@dataclasses.dataclass(frozen=True)
class Grid:
  """What is looked at.

  Attributes:
    eps: Sizes, in pixels of [0, 1].
    images: Evaluation images that are attacked.
    sigmas: Of the copies' noise, per weight; 0 is one model for all.
    clients: How many there are where some collude.
    colluders: How many pool their copies.
    rounds: In how many rounds an averaging client was given a copy of the same model.
    queries: Most questions of a black box about an image.
    steps: Of the momentum attack.
    draws: Of an attacker who knows sigma, per step.
  """

  eps: tuple[float, ...] = (0.012, 0.03)
  images: int = 50
  sigmas: tuple[float, ...] = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03)
  clients: int = 6
  colluders: tuple[int, ...] = (1, 2, 3, 5)
  rounds: tuple[int, ...] = (1, 2, 4, 8, 16)
  queries: int = 1000
  steps: int = 10
  draws: int = 10

  @property
  def asked(self) -> tuple[int, ...]:
    """Numbers of queries at which the black box is looked at."""
    shares = (1000, 300, 100, 30, 10, 3, 1)
    return tuple(sorted({max(1, self.queries // share) for share in shares}))


def curves_of_run(folder: str | pathlib.Path, grid: Grid, *, log: Log, **moved: str) -> Curves:
  """Makes all points and draws them.

  Args:
    folder: The run folder.
    grid: What is looked at.
    log: Is told of each point.
    **moved: Settings of where things lie now, such as `data_dir`.

  Returns:
    The points and what they are of.

  Raises:
    UserError: It is no run folder, has no models, or its images have changed.
  """
  loaded = load_run(folder, **moved)
  out = loaded.folder.path / FOLDER
  sigma = loaded.folder.manifest.get("noise", {}).get("downlink_sigma", 0.0)
  if loaded.config.heals_copies or (loaded.config.noisy_downlink and not sigma):
    log("the copies of this run are made otherwise than by noise alone: the curves are of noise")
  if not sigma:
    sigma = PAPERS_SIGMA
    log(f"this run has no noise of a known sigma: colluders, rounds and queries are at {sigma:g}")
  taken = f"another process works in {loaded.folder.path}: wait for its end"
  with locked(loaded.folder.path / run_dir.LOCK, taken):
    config = dataclasses.replace(loaded.config, attack_images=grid.images)
    rows = targets.attacked_rows(config, loaded.prepared)
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(grid).items()}
    known = trials.identity([loaded.weights], rows, sigma=sigma, settings=settings)
    # A folder for each question, so that another one deletes nothing.
    sizes = ",".join(f"{eps:g}" for eps in grid.eps)
    kept = trials.Kept(out / "points" / f"{len(rows)}_images_eps_{sizes}", known)
    points: list[Point] = []
    for name, make in _points(loaded, grid, sigma, rows):
      made = kept.remember(name, make)["points"]
      points += made
      log("; ".join(_line(point) for point in made[-len(grid.eps) :]))
    render.write_csv(out / "curves.csv", points, summed=True)
    curve_plots.write(out / "curves.png", points, sigma)
  return Curves(points, sigma, len(rows))


def _line(point: Point) -> str:
  others = "" if point["asr_avg"] is None else f", avg {point['asr_avg']:.3f}"
  return (
    f"{point['curve']} {point['x']:g}, {point['attacker']}, eps {point['eps']:g}: ASR self "
    f"{point['asr_self']:.3f}{others}"
  )


class _Drawn:
  """Evaluators of copies that are drawn around a run's global model."""

  def __init__(self, loaded: LoadedRun, grid: Grid, rows: np.ndarray):
    self._grid, self._images = grid, loaded.images("evaluation")
    self._weights: Weights = tuple(tf.convert_to_tensor(w) for w in loaded.weights)
    self._attacked = loaded.prepared.image_set.images[rows], loaded.prepared.image_set.labels[rows]
    self._model, self._size = loaded.model, loaded.config.evaluation_batch_size
    self._key = keys.fold(evaluation_key(loaded.config), keys.CURVES)
    self._scorer = Scorer(loaded.model, self._size)

  def copies(self, sigma: float, count: int, round_: int = 0) -> list[Weights]:
    """Copies of a round; those of other sigmas have the same noise, scaled."""
    if sigma == 0:
      return [self._weights] * count
    draw = GaussianRedraw(sigma)
    return [draw(self._weights, keys.fold(self._key, round_, c)) for c in range(count)]

  def results(
    self, copies: Sequence[Weights], attacker: Attacker, **attack: Any
  ) -> list[tuple[AttackResult, float]]:
    """What an attack gets at every size, and the copies' clean accuracy."""
    evaluator = Evaluator(
      self._model, copies, *self._attacked, key=self._key, batch_size=self._size
    )
    images, labels = self._images
    models = copies[:1] if copies[0] is copies[-1] else copies
    clean = float(np.mean([(self._scorer.predict(c, images) == labels).mean() for c in models]))
    steps = [0.0 if attack["name"] == "square" else eps / 4 for eps in self._grid.eps]
    specs = [AttackSpec(eps=e, step_size=s, **attack) for e, s in zip(self._grid.eps, steps)]
    return [(evaluator.attack(spec, attacker), clean) for spec in specs]


def _points(
  loaded: LoadedRun, grid: Grid, sigma: float, rows: np.ndarray
) -> Iterator[tuple[str, Callable[[], dict[str, list[Point]]]]]:
  """Names of points, and what makes those of all sizes."""
  drawn = _Drawn(loaded, grid, rows)
  momentum = {"name": "mi_fgsm", "steps": grid.steps, "loss": "margin"}

  def of(curve: str, x: float, copies: Callable[[], list[Weights]], attacker: Attacker):
    def make():
      found = drawn.results(copies(), attacker, **momentum)
      return {"points": [_point(curve, x, result, clean) for result, clean in found]}

    return f"{curve}_{x:g}_{attacker.name}", make

  for each in grid.sigmas:
    yield of("sigma", each, lambda s=each: drawn.copies(s, 3), OwnCopy())
    if each:
      yield of("sigma", each, lambda s=each: drawn.copies(s, 3), NoiseEnsemble(each, grid.draws))
  for count in grid.colluders:
    for pool in ("mean", "ensemble") if count > 1 else ("mean",):
      name, make = of(
        "colluders", count, lambda: drawn.copies(sigma, grid.clients), Colluding(count, pool)
      )
      yield f"{name}_{pool}", _named(make, f"colluding_{pool}")
  for count in grid.rounds:
    rounds = [drawn.copies(sigma, 3, number) for number in range(count)]
    yield of("rounds", count, lambda: drawn.copies(sigma, 3), Averaging(rounds))

  def ask():
    found = drawn.results(drawn.copies(sigma, 3), BlackBox(), name="square", steps=grid.queries)
    return {"points": [p for result, clean in found for p in _by_queries(grid, result, clean)]}

  yield "queries", ask


def _named(make: Callable, attacker: str) -> Callable:
  def made():
    return {"points": [point | {"attacker": attacker} for point in make()["points"]]}

  return made


def _point(curve: str, x: float, result: AttackResult, clean: float) -> Point:
  numbers = result.summary()
  told = ("eps", "attacker", "asr_self", "asr_avg", "attack_accuracy_self", "attack_accuracy_avg")
  return {"curve": curve, "x": x} | {k: numbers[k] for k in told} | {"clean_accuracy": clean}


def _by_queries(grid: Grid, result: AttackResult, clean: float) -> list[Point]:
  """What is fooled with so many questions at most: an image that fools is asked about no more."""
  made = []
  for most in grid.asked:
    soon = result.queries <= most
    less = dataclasses.replace(
      result,
      flipped=result.flipped & soon,
      right=np.where(soon, result.right, result.clean_right[np.newaxis]),
    )
    made.append(_point("queries", most, less, clean))
  return made
