"""A finished run as objects: a notebook goes on where the binary stopped."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs import saved_models
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared, prepare
from fedsafe_tff.runs.rebuild import config_of
from fedsafe_tff.runs.report.run_folder import RunFolder


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedRun:
  """What a run was made of and what came of it.

  Attributes:
    config: Its settings.
    model: The functional model.
    weights: The global model, one array per weight.
    copies: What each client received, the same arrays where all received the global model.
    folder: Results, metrics and facts, as the run folder has them.
    prepared: Its images, split and dealt out anew, with the facts about them.
  """

  config: Config
  model: FunctionalModel
  weights: saved_models.Arrays
  copies: list[saved_models.Arrays]
  folder: RunFolder
  prepared: Prepared

  def images(self, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 [n, h, w, c], and labels, int [n], of a part of the split.

    Args:
      part: "train", "adaptation", "validation" or "evaluation".
    """
    return self.prepared.images(part)

  def client_images(self, client: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 [n, h, w, c], and labels, int [n], that a client trained on."""
    rows = self.prepared.clients[client]
    return self.prepared.image_set.images[rows], self.prepared.image_set.labels[rows]

  @property
  def rounds(self) -> int:
    """Rounds that it trained: `--stop_at_epsilon` leaves fewer than the settings ask for."""
    numbers = [row["round"] for row in self.folder.metrics]
    return int(self.folder.privacy.get("rounds") or max(numbers, default=self.config.rounds))

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the labels 0, 1, ..."""
    return tuple(self.prepared.image_set.class_names)

  @property
  def results(self) -> dict[str, Any]:
    """Contents of `evaluation.json`; empty where the run was not evaluated."""
    return self.folder.evaluation


def load_run(run_dir: str | pathlib.Path, **moved: Any) -> LoadedRun:
  """Loads a run that has its models.

  Args:
    run_dir: The run folder.
    **moved: Settings of where things lie now, such as `data_dir` or `cache_dir`.

  Raises:
    UserError: It is no run folder, has no models, or its images have changed.
  """
  folder = RunFolder.read(run_dir)
  config = dataclasses.replace(config_of(folder), **moved)
  stored = saved_models.read(folder.path / "models" / "global.npz")
  weights, copies = saved_models.load(folder.path / "models", config.num_clients)
  prepared = prepare(config)
  if differing := versions.differ_from_current(folder.manifest):
    raise UserError(
      f"{folder.path} was made by a version with {differing}: its parts are others here"
    )
  if not folder.manifest.get("identity"):
    raise UserError(
      f"{folder.path} is from before the identity of a run's images was recorded: what they were "
      "can't be told, train the run again"
    )
  if differing := prepared.inputs.differing(folder.manifest):
    raise UserError(
      f"{folder.path} was made of {differing} than {config.data_dir or 'this version'} and --model "
      "hold now"
    )
  model = prepared.model
  if stored.frozen is not None:  # else an older version wrote it
    model = model.with_frozen(stored.frozen)
  return LoadedRun(config, model, weights, copies, folder, prepared)
