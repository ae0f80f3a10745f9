"""A training of a sweep: made or gone on with, adapted, its copies handed out."""

import dataclasses
import datetime
import io
import json
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsafe_tff import versions
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import again, identity
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.paper.progress import SweepProgress
from fedsafe_tff.paper.steps import adapt_step, train_step
from fedsafe_tff.runs import copies as copies_lib
from fedsafe_tff.runs import loop, passes, run_dir, saved_models, trainers
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.facts import manifest_facts
from fedsafe_tff.runs.inputs import Inputs
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.runs.run import Stopped
from fedsafe_tff.runtime.signals import StopRequest
from fedsafe_tff.training import adaptation, own

Weights = Sequence[np.ndarray]


class Training:
  """What cells of one training share."""

  def __init__(
    self,
    config: Config,
    prepared: Prepared,
    cache: Cache,
    progress: SweepProgress,
    stop: StopRequest,
  ):
    """Opens its folder in the cache.

    Args:
      config: `identity.training_config` of its cells.
      prepared: Data and model.
      cache: Where results go.
      progress: Is told of every step.
      stop: Is looked at between rounds and between steps.

    Raises:
      UserError: The folder holds another one, or the images were changed.
    """
    self.path = cache.training(config)
    self.call: trainers.Call | None = None
    self.devices: list[str] = []
    self.config, self.prepared = config, prepared
    self.cache, self.progress, self.stop = cache, progress, stop
    self._trainers: dict[str, trainers.Trainer] = {}
    self._state: Any = None  # after the last round
    self._history: list[Weights] | None = None  # global models of rounds before it
    self._last: tuple[str, Weights, list[Weights]] | None = None
    self.copies_seconds = 0.0  # what healing the last ones took
    self.origin = {
      "git_commit": run_dir.git_commit(),
      "hardware": run_dir.hardware(),
      "begun": now(),
    }
    self._open()
    model = saved_models.keep_frozen(self.path / "frozen.npz", prepared.model)
    self.prepared = dataclasses.replace(prepared, model=model)

  def _open(self) -> None:
    file = self.path / "config.json"
    if not read_json(file):  # missing, or damaged
      run_dir.write_json(file, self.config.as_dict())
    elif not identity.agrees(self.config, read_json(file)):
      raise UserError(
        f"{self.path} was begun with other defaults than this version has: delete it, or give "
        "another --cache"
      )
    # Between the plan and now the images may have been replaced.
    if self.cache.known(self.config) not in (None, self.prepared.inputs.identity):
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
    if differing := self.prepared.inputs.differing(before):
      raise UserError(
        f"{self.path} was trained on {differing}: delete it, or give another --cache"
      )

  def check_stop(self) -> None:
    """Raises `Stopped` where somebody asked to stop."""
    if self.stop.requested:
      raise Stopped(f"stopped by {self.stop.signal_name}: the same command continues")

  def noise_of(self, config: Config) -> Noise:
    """The noise of a cell's configuration."""
    return Noise.of_data(config, self.prepared)

  def trainer(self, config: Config) -> trainers.Trainer:
    """The algorithm of a configuration; to compile it takes seconds."""
    key = identity.digest(identity.copies_config(config))
    if key not in self._trainers:
      noise = self.noise_of(config)
      self._trainers[key] = trainers.build_trainer(config, self.prepared, noise, self.call)
    return self._trainers[key]

  def inputs(self, config: Config) -> Inputs:
    """What a stage is given: a user's defence as far as it takes part in it."""
    fingerprint = own.fingerprint(config.defense)
    return dataclasses.replace(self.prepared.inputs, defense_hash=fingerprint)

  def train(self, cell: Cell) -> None:
    """Trains, or continues."""
    self.check_stop()
    again.begin(self.path, self.progress)
    started = time.monotonic()
    before = read_json(self.path / "manifest.json").get("training_seconds", 0.0)
    noise = self.noise_of(self.config)
    self.progress.begin(train_step(cell), f"training for {cell.title()}")
    run_dir.write_json(self.path / "partition.json", self.prepared.partition_facts())
    facts = manifest_facts(self.config, self.prepared, noise)
    where = {"name": self.config.runtime, "devices": self.devices}
    run_dir.write_manifest(self.path, **facts, runtime=where, started=now())
    trainer = self.trainer(self.config)
    try:
      state = loop.train(
        self.config, self.prepared, noise, trainer, self.path, self.progress, self.stop
      )
    finally:
      seconds = round(before + time.monotonic() - started, 1)
      run_dir.write_manifest(self.path, training_seconds=seconds)
    if state is None:
      self.check_stop()
    loop.check_finite(trainer.weights(state), "the trained model")
    self._state = state
    run_dir.write_manifest(self.path, finished=now())
    again.end(self.path, self.progress)
    self.progress.end()

  def copies(self, cell: Cell) -> tuple[Weights, list[Weights]]:
    """The global model and what each client receives; the last ones are kept at hand."""
    key = identity.digest(identity.copies_config(cell.config))
    if self._last is None or self._last[0] != key:
      self._last = None  # before the next ones are made: they are large
      self._last = (key, *self._make_copies(cell))
    return self._last[1:]

  def _make_copies(self, cell: Cell) -> tuple[Weights, list[Weights]]:
    config = cell.config
    self.copies_seconds = 0.0
    stored = self._read_adapted(config) if config.adapts else None
    if stored is not None and not config.noisy_downlink:
      return stored, [stored] * config.num_clients
    trainer = self.trainer(config)
    state = self._trained(cell, trainer)
    if config.adapts and stored is None:
      state = self._adapt(cell, trainer, state)
    elif config.adapts:
      state = trainer.with_weights(state, stored)
    if config.noisy_downlink:  # the methods share a training, and most of them have no noise
      state = trainer.with_noise(state)
    if not config.heals_copies:
      made = trainer.copies(state)
      for client, copy in enumerate(made):  # noised, or made in a user's way
        loop.check_finite(copy, f"the copy of client {client}", "its noise")
      return trainer.weights(state), made

    def after_some(text: str, over: bool) -> None:
      if not over:
        self.progress.note(f"{cell.title()}: {text}")
        self.check_stop()

    # The way of making them may be a user's own: settings and sources tell which.
    told = [identity.digest(identity.copies_config(config)), self.inputs(config).facts()]
    made_by = json.dumps([*told, versions.of_models()], sort_keys=True)
    made_of = copies_lib.made_of(trainer, state, made_by)
    kept = copies_lib.Kept(self.path / "copies.partial", made_of)
    copies, spent = copies_lib.make(trainer, state, config.num_clients, kept, after_some)
    self.copies_seconds = round(spent, 2)
    kept.forget()
    return trainer.weights(state), copies

  def _trained(self, cell: Cell, trainer: trainers.Trainer) -> Any:
    """The state after the last round, read into the form of any of the training's trainers."""
    if self._state is None:
      checkpoints = loop.Checkpoints(self.path / "checkpoints", self.config.keep_checkpoints)
      state, number = checkpoints.newest(trainer.initialize())
      if number == self.config.rounds:
        self._state = state
      else:  # the last checkpoint was damaged
        self.train(cell)
    return self._state

  def history(self, cell: Cell) -> list[Weights]:
    """Global models of rounds before the last one."""
    if self._history is None:
      trainer = self.trainer(self.config)
      state = self._trained(cell, trainer)
      found = loop.earlier_models(trainer, state, self.path, self.config)
      self._history = [found[number] for number in sorted(found)]
    return self._history

  def _read_adapted(self, config: Config) -> tuple[np.ndarray, ...] | None:
    if not self.cache.has_adapted(config):
      return None
    file = self.cache.adapted(config)
    try:
      with np.load(io.BytesIO(sums.read(file)), allow_pickle=False) as archive:
        return tuple(archive[name] for name in sorted(archive, key=int))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, sums.Damaged) as error:
      self.progress.note(f"{file} is adapted again: {error}")
      return None

  def _adapt(self, cell: Cell, trainer: trainers.Trainer, state: Any) -> Any:
    """Adapts the trained state and stores the model that comes of it."""
    self.check_stop()
    self.progress.begin(adapt_step(cell), f"{cell.title()}, adaptation")
    started = time.monotonic()
    file = self.cache.adapted(cell.config)
    inputs = self.inputs(identity.adapted_config(cell.config)).facts()
    # The folder's name tells the settings alone, not the sources of a user's adaptation.
    made_by = json.dumps(inputs | versions.of_models(), sort_keys=True)
    kept = passes.Kept(file.with_suffix(".partial"), made_by)

    def after_pass(text: str, over: bool) -> None:
      self.progress.trial(text)
      if not over:
        self.check_stop()

    state, metrics, _ = trainer.adapt(state, kept, after_pass)
    weights = trainer.weights(state)
    if not all(np.isfinite(w).all() for w in weights):
      kept.forget()
    loop.check_finite(weights, "the adapted model")
    facts = {
      "config": identity.adapted_config(cell.config).as_dict(),
      **inputs,
      "metrics": dict(zip(adaptation.METRICS, metrics.tolist())),
      "seconds": round(kept.before + time.monotonic() - started, 2),
    }
    # The facts last: they tell that the weights are there, and of which sources they are.
    file.with_suffix(".json").unlink(missing_ok=True)
    write_arrays(file, {f"{i:02d}": np.asarray(w) for i, w in enumerate(weights)})
    run_dir.write_json(file.with_suffix(".json"), facts | self.origin)
    kept.forget()
    self.progress.end(f"accuracy {metrics[1]:.3f}")
    return state


def now() -> str:
  """The time, in UTC."""
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
