"""A whole run: prepare, train, evaluate, report."""

import datetime
import json
import pathlib
import time
from typing import Any

from fedsafe_tff.config import Config
from fedsafe_tff.errors import UserError
from fedsafe_tff.report.progress import Progress


class Stopped(Exception):
  """The user stopped the run; it can be continued."""


def run(config: Config) -> pathlib.Path:
  """Runs or continues a run and builds its report.

  Args:
    config: The settings; the run folder belongs to them.

  Returns:
    The run folder.

  Raises:
    UserError: What the user can mend.
    Stopped: After Ctrl-C or SIGTERM; the last finished round is saved.
  """
  from fedsafe_tff.experiment import run_dir as run_dir_lib

  with run_dir_lib.open_run_dir(config) as path, Progress() as progress:
    progress.note(f"run folder {path}")
    if _finished(path):
      progress.note("this run is complete: nothing to train, the report is built anew")
    else:
      _train_and_evaluate(config, path, progress)
    from fedsafe_tff.report.build import build

    build(path)
  return path


def _finished(path: pathlib.Path) -> bool:
  try:
    return "finished" in _manifest(path)
  except (OSError, ValueError):
    return False


def _train_and_evaluate(config: Config, path: pathlib.Path, progress: Progress) -> None:
  # TensorFlow and TFF take seconds to import: only a run that trains pays for them.
  import tensorflow as tf

  from fedsafe_tff.experiment import evaluate as evaluate_lib
  from fedsafe_tff.experiment import loop, run_dir, saved_models, trainers
  from fedsafe_tff.experiment.facts import manifest_facts
  from fedsafe_tff.experiment.noise import Noise
  from fedsafe_tff.experiment.prepare import prepare
  from fedsafe_tff.runtime import choose
  from fedsafe_tff.runtime.signals import graceful_stop

  started = time.monotonic()
  if config.threads:
    tf.config.threading.set_intra_op_parallelism_threads(config.threads)
    tf.config.threading.set_inter_op_parallelism_threads(config.threads)
  choose.configure(config)
  with graceful_stop() as stop:
    prepared = prepare(config, progress.note)
    before = _manifest(path)
    _check_continues(path, before, prepared.data_hash)
    noise = Noise.from_config(config, prepared.min_images, before)
    run_dir.write_json(path / "partition.json", prepared.partition_facts())
    run_dir.write_manifest(
      path,
      **manifest_facts(config, prepared, noise),
      started=_now(),
    )
    for line in noise.statement(config.rounds):
      progress.note(line)
    log_path = path / "worker.log"
    with choose.open_runtime(config, log_path, progress.note) as runtime:
      run_dir.write_manifest(path, runtime={"name": config.runtime, "devices": runtime.devices})
      trainer = trainers.build_trainer(config, prepared, noise, runtime.call)
      state = loop.train(config, prepared, noise, trainer, path, progress, stop)
      if state is None or stop.requested:
        raise _stopped(path, stop)
      weights, copies = trainer.weights(state), trainer.copies(state)
    saved_models.save(path / "models", weights, copies)

    def tell(text: str) -> None:
      progress.note(text)
      if stop.requested:
        raise _stopped(path, stop)

    evaluate_lib.evaluate(config, prepared, weights, copies, path, tell)
    seconds = round(time.monotonic() - started, 1)
    run_dir.write_manifest(path, finished=_now(), seconds_of_last_session=seconds)


def _stopped(path: pathlib.Path, stop) -> Stopped:
  return Stopped(f"stopped by {stop.signal_name}: the same command with --run_dir={path} continues")


def _manifest(path: pathlib.Path) -> dict[str, Any]:
  """What a session before this one wrote; empty where there was none."""
  file = path / "manifest.json"
  return json.loads(file.read_text()) if file.is_file() else {}


def _check_continues(path: pathlib.Path, before: dict[str, Any], data_hash: str) -> None:
  """Refuses to continue on other images, or with other random numbers, than the run began with."""
  from fedsafe_tff.experiment.facts import has_other_keys

  if has_other_keys(before):
    raise UserError(
      f"{path} was begun by a version that drew its random numbers from other keys, and can't be "
      "continued by this one: choose another --run_dir"
    )
  if before.get("data_hash") not in (None, data_hash):
    raise UserError(
      f"{path} was begun on other images (their hash differs): choose another --run_dir"
    )


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
