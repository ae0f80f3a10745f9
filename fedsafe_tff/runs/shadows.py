"""Shadow models of LiRA: trainings by a run's own recipe, each on half of a pool of its images.

What each of them gives on the pool is kept in `audit/shadows/` of the run, one file per shadow
model. A session that is stopped goes on with the round that it was in; another recipe has a folder
of its own. A shadow model's images lie only as long as it trains.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedsafe_tff import versions
from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.data import dealing, sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.data.formats import npy
from fedsafe_tff.data.formats.frame import Unreadable
from fedsafe_tff.data.seeds import generator
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.privacy.audit import lira
from fedsafe_tff.runs import loop, run_dir, runtimes, trainers
from fedsafe_tff.runs.cohort import took_part
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.load import LoadedRun
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared, write_shards
from fedsafe_tff.runs.report.progress import Progress, duration
from fedsafe_tff.runs.run import Stopped
from fedsafe_tff.runtime.signals import StopRequest, graceful_stop

GLOBAL, COPY = "global model", "a client's copy"
_VERSION = 1  # of how shadow models are made of a recipe
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Shadows:
  """What shadow models give on the pool.

  Attributes:
    trained: Whether a shadow model trained on an image, bool [shadows, n].
    logits: By model, `GLOBAL` and, where the run's copies differ, `COPY`: float32 [shadows, n,
      classes].
  """

  trained: np.ndarray
  logits: Mapping[str, np.ndarray]


class _Unstated(Noise):
  """The noise of a shadow model, of which nothing has to be stated: it protects nobody."""

  def facts(self, rounds: int, planned: int) -> dict[str, Any]:
    """See `Noise`."""
    return {}

  def epsilon(self, rounds: int) -> float | None:
    """See `Noise`."""
    return None

  def paper_epsilon(self, rounds: int) -> float | None:
    """See `Noise`."""
    return None


class _Quarters(Progress):
  """Tells of four rounds of a training, and of its notes."""

  def __init__(self, log: Log, name: str):
    super().__init__()
    self._log, self._name = log, name

  def note(self, text: str) -> None:
    """See `Progress`."""
    self._log(f"{self._name}: {text}")

  def start(self, total_rounds: int, done_rounds: int = 0) -> None:
    """See `Progress`."""
    self._total, self._first, self._started = total_rounds, done_rounds, time.monotonic()

  def round(self, number: int, row: Mapping[str, Any]) -> None:
    """See `Progress`."""
    if number == self._total or 4 * number // self._total == 4 * (number - 1) // self._total:
      return
    left = (time.monotonic() - self._started) / (number - self._first) * (self._total - number)
    self.note(f"round {number}/{self._total}, left {duration(left)}")


def has_copies(run: LoadedRun) -> bool:
  """Whether clients received something else than the global model."""
  return any((a != b).any() for a, b in zip(run.copies[0], run.weights))


def kept(folder: pathlib.Path) -> int:
  """How many shadow models lie below the folder of an audit."""
  return len(list((folder / "shadows").glob("*/shadow_*.npz")))


def shadow_models(
  run: LoadedRun, rows: np.ndarray, count: int, folder: pathlib.Path, log: Log
) -> Shadows:
  """Trains shadow models, or takes up those that are there.

  Args:
    run: The run whose recipe they follow: settings, initial weights drawn anew, the server's images
      and adaptation, copies, noise as strong as the run's from seeds of their own.
    rows: The pool, indices into the run's images.
    count: How many shadow models; even.
    folder: Of the audit.
    log: Is told of each.

  Raises:
    UserError: The count, a pool that is too small, or a training that fails.
    Stopped: Somebody asked the program to stop; the last finished round is saved.
  """
  lira.check_count(count)
  config = _recipe(run)
  home = _home(run, config, rows, folder, log)
  labels = run.prepared.image_set.labels[rows]
  units = run.prepared.image_set.groups[rows]
  scorer = Scorer(run.model, config.evaluation_batch_size)
  images = run.prepared.image_set.images[rows]
  made, spent, trainings = [], 0.0, 0
  files = [home / f"shadow_{number:03d}.npz" for number in range(count)]
  missing = [file for file in files if not file.is_file()]
  if len(missing) < count:
    log(f"{count - len(missing)} of {count} shadow models are there already")
  with graceful_stop() as stop:
    for number, file in enumerate(files):
      name = f"shadow {number + 1}/{count}"
      found = _read(file, len(rows))
      if found is None:
        started = time.monotonic()
        half = lira.halves(units, labels, number // 2, config.seed)
        half = ~half if number % 2 else half
        work = file.with_suffix("")
        models, trained = _train(run, config, rows, half, number, work, _Quarters(log, name), stop)
        found = {"trained": trained}
        found |= {key: scorer.logits(weights, images) for key, weights in models.items()}
        write_arrays(file, found)
        shutil.rmtree(work, ignore_errors=True)
        spent, trainings = spent + time.monotonic() - started, trainings + 1
        left = sum(not other.is_file() for other in files[number:])
        log(
          f"{name}: trained on {trained.sum()} of {len(rows)} images, left "
          f"{duration(spent / trainings * left)}"
        )
      made.append(found)
    if stop.requested:
      raise Stopped(f"stopped by {stop.signal_name}: the same command continues")
  names = [GLOBAL, COPY] if has_copies(run) else [GLOBAL]
  return Shadows(
    np.stack([found["trained"] for found in made]),
    {name: np.stack([found[name] for found in made]) for name in names},
  )


def _recipe(run: LoadedRun) -> Config:
  """A run's settings, as far as they decide about its training."""
  return dataclasses.replace(
    run.config.without_attacks(),
    evaluation_batch_size=run.config.evaluation_batch_size,
    rounds=run.rounds,
    stop_at_epsilon=0.0,
    runtime="device",  # a cluster may be gone, and another runtime changes last bits only
    keep_checkpoints=1,
    checkpoint_every=1,
  )


def _home(
  run: LoadedRun, config: Config, rows: np.ndarray, folder: pathlib.Path, log: Log
) -> pathlib.Path:
  """The folder of a recipe's shadow models."""
  known = {
    "version": _VERSION,
    "settings": config.identity(),
    "planned_rounds": run.config.rounds,
    **run.prepared.inputs.facts(),
    "drawn_by": versions.drawn_by({"result_versions": versions.current()}),
    "rows": hashlib.sha256(np.asarray(rows, np.int64).tobytes()).hexdigest(),
    "frozen": digest([value for _, value in run.model.frozen]).hex(),
  }
  name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
  home = folder / "shadows" / name
  if not home.is_dir() and (others := kept(folder)):
    log(f"{others} shadow models of another recipe lie in {folder / 'shadows'}: they are not used")
  if not (home / "identity.json").is_file():
    run_dir.write_json(home / "identity.json", known)
  return home


def _read(file: pathlib.Path, images: int) -> dict[str, np.ndarray] | None:
  """What a shadow model gave; None where it is not there or damaged."""
  if not file.is_file():
    return None
  try:
    sums.check(file)
    found = npy.read_stored(file)
    if len(found["trained"]) == len(found[GLOBAL]) == len(found[COPY]) == images:
      return found
  except (OSError, KeyError, Unreadable, sums.Damaged):
    pass
  warnings.warn(f"{file} is damaged: it is trained again", Notice, stacklevel=2)
  file.unlink(missing_ok=True)
  return None


def _train(
  run: LoadedRun, config: Config, rows: np.ndarray, half: np.ndarray, number: int,
  work: pathlib.Path, progress: Progress, stop: StopRequest,
) -> tuple[dict[str, Any], np.ndarray]:  # fmt: skip
  """The models that a shadow training ends with, and which of the pool it had, bool [n]."""
  rng = generator(config.seed, f"shadow {number}")
  seed, noise_seed = (int(s) for s in rng.integers(2**53, size=2))
  config = dataclasses.replace(config, seed=seed, noise_seed=noise_seed)
  try:
    prepared = _prepared(run, config, rows, half, work)
    # Of the run's rounds and clients, so that it is as strong.
    noise = Noise.of_data(dataclasses.replace(config, rounds=run.config.rounds), run.prepared)
    unstated = _Unstated(**{f.name: getattr(noise, f.name) for f in dataclasses.fields(Noise)})
    # What is measured beside the training of a defence is not looked at here.
    watched = dataclasses.replace(config, defense="none")
    with runtimes.open_runtime(config, work / "worker.log") as runtime:
      trainer = trainers.build_trainer(config, prepared, noise, runtime.call)
      state = loop.train(watched, prepared, unstated, trainer, work, progress, stop)
      if state is None:
        raise Stopped(f"stopped by {stop.signal_name}: the same command continues")
      models = {GLOBAL: trainer.weights(state), COPY: trainer.copies(state, [0])[0]}
  except UserError as error:
    raise UserError(f"--shadows: shadow model {number + 1} can't be trained: {error}") from None
  had = [prepared.clients[client] for client in took_part(config, config.rounds)]
  return models, np.isin(rows, np.concatenate(had))


def _prepared(
  run: LoadedRun, config: Config, rows: np.ndarray, half: np.ndarray, work: pathlib.Path
) -> Prepared:
  """The run's data and model, with the half of the pool dealt anew."""
  given, images = run.prepared, run.prepared.image_set
  train, others = np.sort(rows[half]), np.sort(rows[~half])
  had = sum(map(len, given.clients))
  try:
    clients = dealing.deal(
      images,
      train,
      num_clients=config.num_clients,
      method=config.partition,
      alpha=config.dirichlet_alpha,
      min_images=max(1, config.min_client_images * len(train) // max(had, len(train))),
      seed=config.seed,
    ).clients
  except UserError as error:
    why = str(error).partition(":")[0]
    raise UserError(
      f"half of the pool of {len(rows)} images is too small or can't be dealt as the run's were "
      f"({why})"
    ) from None
  few = np.linspace(0, len(others) - 1, min(len(others), len(given.parts.validation)))
  return dataclasses.replace(
    given,
    model=run.model,
    clients=clients,
    min_images=min(map(len, clients)),
    parts=dataclasses.replace(
      given.parts, train=train, evaluation=others, validation=others[few.astype(int)]
    ),
    store=write_shards(
      config, str(work), images, clients, given.parts.adaptation, given.inputs.data_hash
    ),
  )
