"""Does what a sweep lacks: trains, adapts, distributes, attacks; every result goes into the cache.

Cells of one training are done together: its data are read once, and its adapted models and
distributed copies come from the one checkpoint.
"""

import dataclasses
import datetime
import io
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsafe_tff import versions
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.paper import again, identity
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.paper.progress import SweepProgress
from fedsafe_tff.paper.steps import EXAMPLES, Step, adapt_step, attack_step, steps_of, train_step
from fedsafe_tff.paper.under_suite import UnderSuite
from fedsafe_tff.runs import evaluate, loop, passes, run_dir, runtimes, saved_models, trainers
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.facts import manifest_facts
from fedsafe_tff.runs.inputs import Inputs
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared, prepare
from fedsafe_tff.runs.run import Stopped
from fedsafe_tff.runtime.signals import StopRequest
from fedsafe_tff.training import adaptation, own

Failure = tuple[Cell, str]
Weights = Sequence[np.ndarray]


def do_group(
  cells: Sequence[Cell], cache: Cache, progress: SweepProgress, stop: StopRequest
) -> list[Failure]:
  """Does all that cells of one training lack.

  Args:
    cells: Cells that share a training.
    cache: Where results go.
    progress: Is told of every step.
    stop: Is looked at between rounds and between steps.

  Returns:
    The cells that could not be done, with the reason.

  Raises:
    UserError: The cache holds something else.
    Stopped: The user asked to stop; what is finished is saved.
  """
  config = identity.training_config(cells[0].config)
  try:
    prepared = prepare(config)
  except UserError as error:  # such as too few images for so many clients
    progress.drop(steps_of(cells, cache))
    return [(cell, str(error)) for cell in cells]
  group = _Group(config, prepared, cache, progress, stop)
  failures = []
  with runtimes.open_runtime(config, group.path / "worker.log", progress.note) as runtime:
    group.call, group.devices = runtime.call, runtime.devices
    try:
      if not cache.is_trained(config):
        group.train(cells[0])
    except loop.Diverged as error:
      progress.drop(steps_of(cells, cache))
      return [(cell, str(error)) for cell in cells]
    for cell in cells:
      # Two cells may have become one by what was typed; the first has done it for both.
      if not cache.to_do(cell):
        continue
      try:
        group.attack(cell)
      except loop.Diverged as error:
        progress.drop(steps_of([cell], cache))
        failures.append((cell, str(error)))
  return failures


class _Group:
  """The cells of one training."""

  def __init__(
    self,
    config: Config,
    prepared: Prepared,
    cache: Cache,
    progress: SweepProgress,
    stop: StopRequest,
  ):
    self.path = cache.training(config)
    self.call: trainers.Call | None = None
    self.devices: list[str] = []
    self._config, self._prepared = config, prepared
    self._cache, self._progress, self._stop = cache, progress, stop
    self._trainers: dict[str, trainers.Trainer] = {}
    self._cell: Cell | None = None  # that is being attacked
    self._state: Any = None  # after the last round
    self._history: list[Weights] | None = None  # global models of rounds before it
    self._last: tuple[str, Weights, list[Weights]] | None = None
    self._origin = {
      "git_commit": run_dir.git_commit(),
      "hardware": run_dir.hardware(),
      "begun": _now(),
    }
    self._open()
    model = saved_models.keep_frozen(self.path / "frozen.npz", prepared.model)
    self._prepared = dataclasses.replace(prepared, model=model)

  def _open(self) -> None:
    file = self.path / "config.json"
    if not read_json(file):  # missing, or damaged
      run_dir.write_json(file, self._config.as_dict())
    elif not identity.agrees(self._config, read_json(file)):
      raise UserError(
        f"{self.path} was begun with other defaults than this version has: delete it, or give "
        "another --cache"
      )
    # Between the plan and now the images may have been replaced.
    if self._cache.known(self._config) not in (None, self._prepared.inputs.identity):
      raise UserError(
        f"the images or the model of {self.path.name} were changed while the sweep ran: start it "
        "again"
      )
    manifest = self.path / "manifest.json"
    before = read_json(manifest)
    if not before and manifest.is_file():  # settings and inputs name the folder: nothing is lost
      manifest.replace(self.path / "damaged_manifest.json")
    if "data_hash" not in before:
      return
    if differing := versions.differ_from_current(before):
      raise UserError(
        f"{self.path} was made by a version with {differing}: its numbers would mix with others; "
        "give another --cache"
      )
    if differing := self._prepared.inputs.differing(before):
      raise UserError(
        f"{self.path} was trained on {differing}: delete it, or give another --cache"
      )

  def _check_stop(self) -> None:
    if self._stop.requested:
      raise Stopped(f"stopped by {self._stop.signal_name}: the same command continues")

  def _noise(self, config: Config) -> Noise:
    prepared = self._prepared
    return Noise.from_config(
      config,
      prepared.min_images,
      client_images=[len(rows) for rows in prepared.clients],
      largest_patient=prepared.largest_patient,
    )

  def _trainer(self, config: Config) -> trainers.Trainer:
    """The algorithm of a configuration; to compile it takes seconds."""
    key = identity.digest(identity.copies_config(config))
    if key not in self._trainers:
      noise = self._noise(config)
      self._trainers[key] = trainers.build_trainer(config, self._prepared, noise, self.call)
    return self._trainers[key]

  def train(self, cell: Cell) -> None:
    """Trains, or continues."""
    self._check_stop()
    again.begin(self.path, self._progress)
    started = time.monotonic()
    before = read_json(self.path / "manifest.json").get("training_seconds", 0.0)
    noise = self._noise(self._config)
    self._progress.begin(train_step(cell), f"training for {cell.title()}")
    run_dir.write_json(self.path / "partition.json", self._prepared.partition_facts())
    facts = manifest_facts(self._config, self._prepared, noise)
    where = {"name": self._config.runtime, "devices": self.devices}
    run_dir.write_manifest(self.path, **facts, runtime=where, started=_now())
    trainer = self._trainer(self._config)
    try:
      state = loop.train(
        self._config, self._prepared, noise, trainer, self.path, self._progress, self._stop
      )
    finally:
      seconds = round(before + time.monotonic() - started, 1)
      run_dir.write_manifest(self.path, training_seconds=seconds)
    if state is None:
      self._check_stop()
    _check_finite(trainer.weights(state), "the trained model")
    self._state = state
    run_dir.write_manifest(self.path, finished=_now())
    again.end(self.path, self._progress)
    self._progress.end()

  def attack(self, cell: Cell) -> None:
    """Attacks a cell's copies at the sizes that are to do, or makes its example images."""
    self._cell = cell
    weights, copies = self._copies(cell)
    if cell.examples:
      self._check_stop()
      self._progress.begin(Step(EXAMPLES, cell.task), f"{cell.title()}, example images")
      path = self._cache.examples(cell.config)
      evaluate.write_examples(path, cell.config, self._prepared, copies[0])
      wanted = identity.evaluation_config(cell.config, 0.0)
      facts = {"config": wanted.as_dict()} | self._inputs(wanted).facts()
      run_dir.write_json(path.with_suffix(".json"), facts | self._origin)
      self._progress.end()
      return
    config = cell.config
    scorer = Scorer(self._prepared.model, config.evaluation_batch_size)
    clean, clean_copies = evaluate.clean_accuracies(scorer, self._prepared, weights, copies)
    evaluator = evaluate.build_evaluator(config, self._prepared, copies)
    attacked = None
    if config.evaluation != "paper":
      attacked = self._under_suite(config, weights, copies, evaluator)
    for eps in self._cache.to_do(cell):
      self._check_stop()
      what = config.attacks if attacked is None else config.evaluation
      self._progress.begin(attack_step(cell), f"{cell.title()}, {what} eps {eps:.4g}")
      started = time.monotonic()
      file = self._cache.evaluation(config, eps)
      before = self._cache.find_evaluation(config, eps)
      renewed = before and definitions.renewed(
        before,
        clean_global=clean,
        clean_copies=clean_copies,
        accuracy_on_attacked=evaluator.clean_accuracy().mean(),
      )
      if renewed:
        now = {"result_versions": versions.current(), "renewed": self._origin}
        run_dir.write_json(file, renewed | now)
        self._progress.end("its attack was there, clean accuracy by today's definition")
        continue
      wanted = identity.evaluation_config(config, eps)
      found = attacked.at(eps) if attacked else self._papers(evaluator, wanted)
      evaluation = {
        "config": wanted.as_dict(),
        "result_versions": versions.current(),
        **found,
        "clean_accuracy_global": clean,
        "clean_accuracy_clients": clean_copies,
        "majority_class": self._prepared.trivial["majority_class"],
        "trivial_baselines": self._prepared.trivial,
        "attacked_images": len(evaluate.attacked_images(config, self._prepared)[1]),
        "adapted": self._cache.adapted(config).name if config.adapts else None,
        "leak": evaluate.leak(config, scorer, self._prepared, weights),
        "noise": {"downlink_sigma": self._noise(config).downlink_sigma},
        **self._inputs(wanted).facts(),
        "seconds": round(time.monotonic() - started, 2),
      }
      stored = run_dir.without_nan(evaluation) | self._origin
      run_dir.write_json(file, stored)
      numbers = evaluation["result"]
      other = numbers["asr_avg"]
      self._progress.end(
        f"ASR self {numbers['asr_self']:.3f}" + ("" if other is None else f", avg {other:.3f}")
      )

  def _inputs(self, config: Config) -> Inputs:
    """What a stage is given: a user's defence as far as it takes part in it."""
    fingerprint = own.fingerprint(config.defense)
    return dataclasses.replace(self._prepared.inputs, defense_hash=fingerprint)

  def _papers(self, evaluator: Evaluator, wanted: Config) -> dict[str, Any]:
    result = evaluator.attack(*evaluate.attack_specs(wanted))
    return {"result": result.summary(), "transfer_matrix": result.rows()}

  def _under_suite(
    self, config: Config, weights: Weights, copies: Sequence[Weights], evaluator: Evaluator
  ) -> UnderSuite:
    if self._history is None:
      trainer = self._trainer(self._config)
      found = loop.earlier_models(trainer, self._trained_state(trainer), self.path, self._config)
      self._history = [found[number] for number in sorted(found)]

    def log(text: str) -> None:
      self._progress.trial(text)
      self._check_stop()

    return UnderSuite(
      config,
      dataclasses.replace(self._prepared, inputs=self._inputs(config)),
      weights,
      copies,
      evaluator,
      self._cache.trials(config, len(evaluate.attacked_rows(config, self._prepared))),
      sigma=self._noise(config).downlink_sigma,
      # Under every suite, though few ask for it: trials are kept with what attackers knew.
      history=self._history,
      log=log,
    )

  def _copies(self, cell: Cell) -> tuple[Weights, list[Weights]]:
    """The global model and what each client receives; the last ones are kept at hand."""
    key = identity.digest(identity.copies_config(cell.config))
    if self._last is None or self._last[0] != key:
      self._last = None  # before the next ones are made: they are large
      self._last = (key, *self._make_copies(cell))
    return self._last[1:]

  def _make_copies(self, cell: Cell) -> tuple[Weights, list[Weights]]:
    config = cell.config
    stored = self._read_adapted(config) if config.adapts else None
    if stored is not None and not config.noisy_downlink:
      return stored, [stored] * config.num_clients
    trainer = self._trainer(config)
    state = self._trained_state(trainer)
    if config.adapts and stored is None:
      state = self._adapt(cell, trainer, state)
    elif config.adapts:
      state = trainer.with_weights(state, stored)
    if config.noisy_downlink:  # the methods share a training, and most of them have no noise
      state = trainer.with_noise(state)
    return trainer.weights(state), trainer.copies(state)

  def _trained_state(self, trainer: trainers.Trainer) -> Any:
    if self._state is None:
      checkpoints = loop.Checkpoints(self.path / "checkpoints", self._config.keep_checkpoints)
      state, number = checkpoints.newest(trainer.initialize())
      if number == self._config.rounds:
        self._state = state
      else:  # the last checkpoint was damaged
        self.train(self._cell)
    return self._state

  def _read_adapted(self, config: Config) -> tuple[np.ndarray, ...] | None:
    if not self._cache.has_adapted(config):
      return None
    file = self._cache.adapted(config)
    try:
      with np.load(io.BytesIO(sums.read(file)), allow_pickle=False) as archive:
        return tuple(archive[name] for name in sorted(archive, key=int))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, sums.Damaged) as error:
      self._progress.note(f"{file} is adapted again: {error}")
      return None

  def _adapt(self, cell: Cell, trainer: trainers.Trainer, state: Any) -> Any:
    """Adapts the trained state and stores the model that comes of it."""
    self._check_stop()
    self._progress.begin(adapt_step(cell), f"{cell.title()}, adaptation")
    started = time.monotonic()
    file = self._cache.adapted(cell.config)
    kept = passes.Kept(file.with_suffix(".partial"))

    def after_pass(text: str) -> None:
      self._progress.trial(text)
      self._check_stop()

    state, metrics, _ = trainer.adapt(state, kept, after_pass)
    weights = trainer.weights(state)
    _check_finite(weights, "the adapted model")
    facts = {
      "config": identity.adapted_config(cell.config).as_dict(),
      **self._inputs(identity.adapted_config(cell.config)).facts(),
      "metrics": dict(zip(adaptation.METRICS, metrics.tolist())),
      "seconds": round(time.monotonic() - started, 2),
    }
    run_dir.write_json(file.with_suffix(".json"), facts | self._origin)
    write_arrays(file, {f"{i:02d}": np.asarray(w) for i, w in enumerate(weights)})
    kept.forget()
    self._progress.end(f"accuracy {metrics[1]:.3f}")
    return state


def _check_finite(weights: Weights, what: str) -> None:
  # A model of NaN answers every image alike: its attack success rate would be a perfect zero.
  if not all(np.isfinite(np.asarray(w)).all() for w in weights):
    raise loop.Diverged(f"{what} has weights that are not numbers: lower its learning rate")


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
