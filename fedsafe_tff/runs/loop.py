"""The round loop: checkpoints, metrics, progress, resume, a clean stop."""

import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs import events as events_lib
from fedsafe_tff.runs import passes as passes_lib
from fedsafe_tff.runs import robust_validation
from fedsafe_tff.runs import run_dir as run_dir_lib
from fedsafe_tff.runs.checkpoints import Checkpoints
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.runs.report.progress import Progress
from fedsafe_tff.runs.schedule import iterates, learning_rate
from fedsafe_tff.runs.trainers import Trainer
from fedsafe_tff.runtime.signals import StopRequest
from fedsafe_tff.training import adaptation, iterated, local

_NAMED = 10  # clients in a note


class Diverged(UserError):
  """A loss that is not a number: another learning rate or less noise would mend it."""


class _StoppedBetweenPasses(Exception):
  """Somebody asked to stop while the server adapted; what it has found is kept."""


def train(
  config: Config,
  prepared: Prepared,
  noise: Noise,
  trainer: Trainer,
  path: pathlib.Path,
  progress: Progress,
  stop: StopRequest,
) -> Any | None:
  """Runs the rounds that are left.

  Args:
    config: The run's settings.
    prepared: Data and model.
    noise: Its noise and accounting.
    trainer: The algorithm.
    path: The run folder.
    progress: Shows each round.
    stop: Is looked at between rounds, and between the passes of an iterated adaptation.

  Returns:
    The last state; None when the run was stopped before its last round.

  Raises:
    Diverged: A client's loss is not a number; its last good checkpoint stays.
  """
  checkpoints = _checkpoints(path, config)
  state, done = checkpoints.newest(trainer.initialize())
  if done:
    progress.note(f"continuing after round {done} of {config.rounds}")
  metrics_table = run_dir_lib.CsvTable(path / "metrics.csv", run_dir_lib.METRICS, keep_rounds=done)
  clients_table = run_dir_lib.CsvTable(path / "clients.csv", run_dir_lib.CLIENTS, keep_rounds=done)
  passes_table, kept = None, passes_lib.Kept(path / "adaptation.partial")
  if iterates(config):
    columns = ("round", "pass", *iterated.PASSES)
    passes_table = run_dir_lib.CsvTable(path / "adaptation.csv", columns, keep_rounds=done)
  _restore(metrics_table, clients_table, passes_table, path, progress)
  if done:
    run_dir_lib.write_json(path / "privacy.json", noise.facts(done, config.rounds))
  scorer = Scorer(prepared.model, config.evaluation_batch_size)
  validation, robust = prepared.images("validation"), None
  if robust_validation.size_of(config):
    robust = robust_validation.RobustValidation(config, prepared, scorer)
  events = events_lib.Events(path / "tensorboard")
  progress.start(config.rounds, done)
  saved = done
  for index in range(done, config.rounds):
    if stop.requested:
      if saved < index:
        checkpoints.save(state, index)
      return None
    started = time.monotonic()
    before, (state, outcome) = state, trainer.next(state, index)
    number = index + 1
    try:
      left_out = _check_finite(config, outcome, number, path)
      # A round of before passes were kept adapts in itself.
      if outcome["adaptation"] is None and trainer.adapts_after(index):
        state, *told = trainer.adapt(state, kept, _teller(progress, stop))
        outcome |= dict(zip(("adaptation", "passes"), told))
        started -= kept.before
    except (UserError, _StoppedBetweenPasses) as error:
      if saved < index:
        checkpoints.save(before, index)
      if isinstance(error, UserError):
        raise
      return None
    if left_out.size:
      names = ", ".join(map(str, left_out[:_NAMED])) + ", ..." * (left_out.size > _NAMED)
      progress.note(f"round {number}: left out, their upload is not finite: client {names}")
    row = _metrics_row(config, noise, outcome, number, left_out)
    weights = trainer.weights(state)
    row["validation_loss"], row["validation_accuracy"] = scorer.loss_and_accuracy(
      weights, *validation
    )
    if not math.isfinite(row["validation_loss"]):
      where = "after adaptation" if row["adapted"] else "after aggregation"
      if saved < index:
        checkpoints.save(before, index)
      raise _diverged(f"the global model's loss {where} is {row['validation_loss']}", number, path)
    # Where the server alone makes it robust, there is nothing to see before it has.
    if robust is not None and (config.trains_robustly or row["adapted"]):
      row["robust_validation_accuracy"] = robust.accuracy(weights)
    row["seconds"] = round(time.monotonic() - started, 3)
    metrics_table.append([row])
    run_dir_lib.write_json(path / "privacy.json", noise.facts(number, config.rounds))
    clients_table.append(_client_rows(outcome, number))
    if passes_table is not None:
      told = enumerate(outcome["passes"], 1)
      passes_table.append([{"round": number, "pass": index} | row for index, row in told])
      _note_passes(outcome["passes"], config, progress)
    events.write(row, number)
    if number % config.checkpoint_every == 0 or number == config.rounds:
      checkpoints.save(state, number)
      saved = number
      kept.forget()
      row["seconds"] = round(time.monotonic() - started, 3)
      metrics_table.amend([row])
    progress.round(number, row)
  return state


def _checkpoints(path: pathlib.Path, config: Config) -> Checkpoints:
  every = config.checkpoint_every
  return Checkpoints(path / "checkpoints", config.keep_checkpoints, every, config.rounds)


def _teller(progress: Progress, stop: StopRequest) -> Callable[[str, bool], None]:
  """Tells of a pass of an adaptation, and stops before the next one if that is asked for."""

  def tell(text: str, over: bool) -> None:
    progress.note(text)
    if stop.requested and not over:
      raise _StoppedBetweenPasses

  return tell


def _restore(
  metrics: run_dir_lib.CsvTable,
  clients: run_dir_lib.CsvTable,
  passes: run_dir_lib.CsvTable | None,
  path: pathlib.Path,
  progress: Progress,
) -> None:
  """Says which rounds the tables have lost; what TensorBoard's events hold of them comes back."""
  if metrics.lost:
    told = events_lib.read(path / "tensorboard")
    had = [number for number in metrics.lost if number in told]
    rows = [{"round": number, **told[number]} for number in had]
    metrics.restore([row | {"adapted": int(row.get("adapted", 0))} for row in rows])
    if had:
      progress.note(
        f"metrics.csv had lost {_rounds(had)}: restored from TensorBoard's events, in float32"
      )
    if metrics.lost:
      progress.note(f"metrics.csv has lost {_rounds(metrics.lost)}: they can't be restored")
  if clients.lost:
    progress.note(f"clients.csv has lost {_rounds(clients.lost)}: they can't be restored")
  adapted = {int(row["round"]) for row in metrics.rows if str(row.get("adapted")) == "1"}
  if passes is not None and (lost := sorted(adapted & set(passes.lost))):
    progress.note(f"adaptation.csv has lost {_rounds(lost)}: they can't be restored")


def _rounds(numbers: list[int]) -> str:
  if len(numbers) == 1:
    return f"round {numbers[0]}"
  if numbers == list(range(numbers[0], numbers[-1] + 1)):
    return f"rounds {numbers[0]} to {numbers[-1]}"
  return f"rounds {', '.join(map(str, numbers))}"


def _note_passes(passes: list[dict[str, float]], config: Config, progress: Progress) -> None:
  """Says whether an iterated adaptation came to its end, without which its bound does not hold."""
  if not passes:
    return
  new = [int(row["new_examples"]) for row in passes]
  end = (
    "none was new at the end"
    if new[-1] == 0
    else f"it had not ended at --adaptation_passes={config.adaptation_passes}, and the bound of "
    "Eq. 10 does not hold"
  )
  progress.note(f"iterated adaptation: {', '.join(map(str, new))} new examples by pass; {end}")


def earlier_models(
  trainer: Trainer, state: Any, path: pathlib.Path, config: Config
) -> dict[int, tuple[np.ndarray, ...]]:
  """Global models of the rounds before the last one whose checkpoints are kept, by round."""
  checkpoints = _checkpoints(path, config)
  earlier = checkpoints.earlier(state, config.rounds)
  return {number: trainer.weights(before) for number, before in earlier.items()}


def _check_finite(
  config: Config, outcome: dict[str, np.ndarray], number: int, path: pathlib.Path
) -> np.ndarray:
  """The clients that were left out of the mean, as --not_finite=leave_out asks.

  Raises:
    Diverged: A client's loss or norm is not a number and --not_finite=stop, or every client's is.
  """
  ours = config.algorithm == "fedsafe"
  took_part = outcome["took_part"]
  clients = outcome["clients"][took_part]
  if config.not_finite == "leave_out":
    told = clients[:, [local.METRICS.index(name) for name in ("loss", "norm")]]
    left_out = took_part[~np.isfinite(told).all(1)]
    if left_out.size < len(clients):
      return left_out
    raise _diverged("no client has a loss and an upload that are finite", number, path)
  # The loss is that before the last step: what this one did shows in the norm of the upload. TFF's
  # baselines tell no norm, and one loss for all clients.
  for name in ("loss", "norm") if ours else ("loss",):
    values = clients[:, local.METRICS.index(name)]
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
      whose = f"client {took_part[bad[0]]}" if ours else "the clients"
      raise _diverged(f"the {name} of {whose} is {values[bad[0]]}", number, path)
  return np.zeros([0], int)


def check_finite(weights: Sequence[Any], what: str, remedy: str = "its learning rate") -> None:
  """Refuses weights that are not numbers: a model of NaN answers every image alike.

  Its attack success rate would be a perfect zero.

  Args:
    weights: The weights.
    what: What they are, for the message.
    remedy: What to lower.

  Raises:
    Diverged: One is not finite.
  """
  if not all(np.isfinite(np.asarray(weight)).all() for weight in weights):
    raise Diverged(f"{what} has weights that are not numbers: lower {remedy}")


def _diverged(what: str, number: int, path: pathlib.Path) -> Diverged:
  kept = f"; the last good checkpoint stays in {path / 'checkpoints'}" if number > 1 else ""
  return Diverged(f"round {number}: {what}: lower the learning rate or the noise{kept}")


def _metrics_row(
  config: Config,
  noise: Noise,
  outcome: dict[str, np.ndarray],
  number: int,
  left_out: np.ndarray,
) -> dict[str, Any]:
  counted = np.setdiff1d(outcome["took_part"], left_out)
  clients = outcome["clients"][counted].astype(np.float64)
  column = {name: clients[:, i] for i, name in enumerate(local.METRICS)}
  share = column["num_examples"] / column["num_examples"].sum()
  adapted = outcome["adaptation"]
  row: dict[str, Any] = dict.fromkeys(run_dir_lib.METRICS)
  row |= {
    "round": number,
    "train_loss": float((share * column["loss"]).sum()),
    "train_accuracy": float((share * column["accuracy"]).sum()),
    "learning_rate": learning_rate(config, number - 1),
    "epsilon": noise.epsilon(number),
    "epsilon_paper": noise.paper_epsilon(number),
    "adapted": int(adapted is not None),
    "left_out": int(left_out.size),
  }
  if noise.upload_clip > 0 and np.isfinite(column["clipped"]).all():
    row["clipped_share"] = float(column["clipped"].mean())
  if adapted is not None:
    values = dict(zip(adaptation.METRICS, adapted.tolist()))
    row["adaptation_loss"] = values["adaptation_loss"]
    row["adaptation_accuracy"] = values["adaptation_accuracy"]
  return row


def _client_rows(outcome: dict[str, np.ndarray], number: int) -> list[dict[str, Any]]:
  return [
    {"round": number, "client": int(client)}
    | {name: float(value) for name, value in zip(local.METRICS, outcome["clients"][client])}
    for client in outcome["took_part"]
  ]
