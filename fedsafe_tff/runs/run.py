"""A whole run: prepare, train, evaluate, report."""

import contextlib
import dataclasses
import datetime
import pathlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import inputs, intact
from fedsafe_tff.runs import run_dir as run_dir_lib
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.report.progress import Progress

_COPIES = "copies.partial"  # healed ones, until all are stored


class Stopped(Exception):
  """The user stopped the run; it can be continued."""


def run(config: Config, report: bool = True) -> pathlib.Path:
  """Runs or continues a run and builds its report.

  Args:
    config: The settings; the run folder belongs to them.
    report: Whether to build the report. Who adds results at once builds it with them.

  Returns:
    The run folder.

  Raises:
    UserError: What the user can mend.
    Stopped: After Ctrl-C or SIGTERM; the last finished round is saved.
  """
  with run_dir_lib.open_run_dir(config) as path, Progress() as progress:
    progress.note(f"run folder {path}")
    finished = "finished" in run_dir_lib.read_manifest(path)
    lacking = intact.broken(path) if finished else intact.Broken.all()
    forced = finished and run_dir_lib.read_manifest(path).get("renewing")
    if forced:
      progress.note(
        "the session before ended while its models were made again: whose results these are nobody "
        "knows any more, so it is evaluated again"
      )
      lacking = dataclasses.replace(lacking, evaluation=lacking.evaluation or ("evaluation.json",))
    if not lacking.names():
      _compare_finished(config, path, progress)
      built = ", the report is built anew" if report else ""
      progress.note(f"this run is complete: nothing to train{built}")
    else:
      if finished and not forced:
        names = ", ".join(lacking.names())
        progress.note(f"this run was complete, but damaged or gone is {names}: made again")
      with _session(path, progress):
        _train_and_evaluate(config, path, progress, lacking)
    if report:
      from fedsafe_tff.runs.report.build import build

      build(path)
  return path


@contextlib.contextmanager
def _session(path: pathlib.Path, progress: Progress) -> Iterator[None]:
  """Says if the session before was killed or crashed, of which nobody could tell the user then."""
  if run_dir_lib.read_manifest(path).get("in_session"):
    progress.note(
      "the session before was killed or crashed: going on with what it saved; if nobody killed it, "
      "the disk was full, or memory is short: a smaller --batch_size or --image_size takes less"
    )
  try:
    yield
  finally:
    with contextlib.suppress(OSError, UserError):  # a full disk has been told of
      if run_dir_lib.read_manifest(path).get("in_session"):
        run_dir_lib.write_manifest(path, in_session=False)


def _compare_finished(config: Config, path: pathlib.Path, progress: Progress) -> None:
  """Refuses to show a run as that of images or of a model that it was not made of."""
  before = run_dir_lib.read_manifest(path)
  if "identity" not in before:
    progress.note("it is from before the identity of a run's images was recorded: not compared")
    return
  try:
    found = inputs.identify(config, inputs.read_images(config, progress.note))
  except UserError as error:  # the report needs none of it
    progress.note(f"its images and model are not compared: {error}")
    return
  if differing := found.differing(before):
    raise UserError(f"{path} was made of {differing}: choose another --run_dir")


def _train_and_evaluate(
  config: Config, path: pathlib.Path, progress: Progress, lacking: intact.Broken
) -> None:
  # TensorFlow and TFF take seconds to import: only a run that trains pays for them.
  import tensorflow as tf

  from fedsafe_tff.runs import earlier, runtimes, saved_models, targets
  from fedsafe_tff.runs import evaluate as evaluate_lib
  from fedsafe_tff.runs.facts import manifest_facts
  from fedsafe_tff.runs.look import look
  from fedsafe_tff.runs.noise import Noise
  from fedsafe_tff.runs.prepare import prepare
  from fedsafe_tff.runs.report import survey_page
  from fedsafe_tff.runtime.signals import graceful_stop

  started = time.monotonic()
  if config.threads:
    tf.config.threading.set_intra_op_parallelism_threads(config.threads)
    tf.config.threading.set_inter_op_parallelism_threads(config.threads)
  runtimes.configure(config)
  targets.attack_specs(config)  # what is wrong with them is known before the training
  with graceful_stop() as stop:

    def tell(text: str) -> None:
      progress.note(text)
      if stop.requested:
        raise _stopped(path, stop)

    prepared = prepare(config, tell)
    before = run_dir_lib.read_manifest(path)
    _check_same(path, before, prepared.inputs)
    model = saved_models.keep_frozen(path / "frozen.npz", prepared.model)
    prepared = dataclasses.replace(prepared, model=model)
    survey_page.store(path, *look(prepared.image_set, prepared.inputs.data_hash, config.cache_dir))
    noise = Noise.of_data(config, prepared, before)
    given, config = config, _within_epsilon(config, noise, progress)
    run_dir_lib.write_json(path / "partition.json", prepared.partition_facts())
    run_dir_lib.write_manifest(
      path,
      **manifest_facts(config, prepared, noise),
      config=given.as_dict(),
      started=_now(),
      in_session=True,
    )
    for line in noise.statement(config.rounds):
      progress.note(line)
    others = False
    if lacking.training:
      stored = intact.models(path)
      run_dir_lib.write_manifest(path, renewing=True)
      _train(config, prepared, noise, path, progress, stop)
      others = not intact.models(path) <= stored
      if others and any(stored):
        tell(
          "its models are others than before: what lies in attacks/, audit/ and certificates/ is "
          "of those before, make it again"
        )
        run_dir_lib.write_manifest(path, models_renewed=_now())
      if not others and not lacking.evaluation:
        run_dir_lib.write_manifest(path, renewing=False)
    else:  # who is killed after the models were stored leaves copies behind
      shutil.rmtree(path / _COPIES, ignore_errors=True)
    # Trained again on other hardware, models may be others than those that were attacked.
    if lacking.evaluation or others:
      weights, copies = saved_models.load(path / "models", config.num_clients)
      history, sigma = saved_models.history(path / "models"), noise.downlink_sigma
      evaluate_lib.evaluate(
        config,
        prepared,
        weights,
        copies,
        path,
        tell,
        sigma=sigma,
        history=list(history.values()),
        rounds=earlier.copies(config, prepared, history, noise_seed=noise.seed, sigma=sigma),
        surrogates=path / evaluate_lib.SURROGATES,
      )
    seconds = round(time.monotonic() - started, 1)
    run_dir_lib.write_manifest(
      path, finished=_now(), seconds_of_last_session=seconds, in_session=False, renewing=False
    )


def _train(
  config: Config, prepared: Any, noise: Any, path: pathlib.Path, progress: Progress, stop: Any
) -> None:
  """Trains what is left to train, and stores the models."""
  from fedsafe_tff.runs import copies as copies_lib
  from fedsafe_tff.runs import loop, runtimes, saved_models, trainers

  with runtimes.open_runtime(config, path / "worker.log", progress.note) as runtime:
    where = {"name": config.runtime, "devices": runtime.devices}
    run_dir_lib.write_manifest(path, runtime=where)
    trainer = trainers.build_trainer(config, prepared, noise, runtime.call)
    state = loop.train(config, prepared, noise, trainer, path, progress, stop)
    if state is None or stop.requested:
      raise _stopped(path, stop)
    weights = trainer.weights(state)
    kept = None
    if config.heals_copies:
      kept = copies_lib.Kept(path / _COPIES, copies_lib.made_of(trainer, state))

      def after_some(text: str, over: bool) -> None:
        progress.note(text)
        if stop.requested and not over:
          raise _stopped(path, stop)

      copies, seconds = copies_lib.make(trainer, state, config.num_clients, kept, after_some)
      run_dir_lib.write_manifest(path, copies_seconds=round(seconds, 1))
    else:
      copies = trainer.copies(state)
      for client, copy in enumerate(copies):  # noised, or made in a user's way
        loop.check_finite(copy, f"the copy of client {client}", "its noise")
    models = loop.earlier_models(trainer, state, path, config)
  saved_models.save(path / "models", weights, copies, prepared.model)
  saved_models.save_history(path / "models", models, prepared.model)
  if kept is not None:
    kept.forget()


def _within_epsilon(config: Config, noise: Any, progress: Progress) -> Config:
  """The settings with as many rounds as `--stop_at_epsilon` allows."""
  from fedsafe_tff.runs.private import rounds_within

  if not config.stop_at_epsilon:
    return config
  rounds = rounds_within(noise.epsilon, config.stop_at_epsilon, config.rounds)
  if rounds < config.rounds:
    progress.note(
      f"--stop_at_epsilon={config.stop_at_epsilon:g}: {rounds} of {config.rounds} rounds cost "
      f"{noise.epsilon(rounds):.4g}, one more {noise.epsilon(rounds + 1):.4g}; the run ends with "
      f"round {rounds}"
    )
  return dataclasses.replace(config, rounds=rounds)


def _stopped(path: pathlib.Path, stop) -> Stopped:
  return Stopped(f"stopped by {stop.signal_name}: the same command with --run_dir={path} continues")


def _check_same(path: pathlib.Path, before: dict[str, Any], found: inputs.Inputs) -> None:
  """Refuses to continue on other images, with another model, or by other keys or splits."""
  if "data_hash" not in before:
    return
  # Other splits mean other groups and so another hash: the clearer reason comes first.
  if differing := versions.differ_from_current(before):
    raise UserError(
      f"{path} was begun by a version with {differing}: go on with that one, or choose another "
      "--run_dir"
    )
  if "identity" not in before:
    raise UserError(
      f"{path} was begun by a version that did not record the identity of the images: choose "
      "another --run_dir"
    )
  if differing := found.differing(before):
    raise UserError(f"{path} was begun on {differing}: choose another --run_dir")


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
