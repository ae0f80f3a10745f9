"""The cache of a sweep, shared by tables and figures.

  trainings/TASK-seedN-HASH/           a run folder: config, manifest, metrics, checkpoints
    adapted/HASH.npz, HASH.json        the global model after one way of adapting it
    evaluations/HASH.json              one attack at one size on the clients' copies
    examples/HASH.npz                  Figure 1's images

Everything that rests on a training lies in its folder, so that a number's origin is its path, and
what is deleted goes with all that came of it.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.config import Config
from fedsafe_tff.data import files
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.sweep import identity
from fedsafe_tff.sweep.cells import Cell


@dataclasses.dataclass(frozen=True)
class Cache:
  """Where the results of a configuration lie, and whether they are there.

  Attributes:
    folder: The cache's folder.
  """

  folder: pathlib.Path

  def training(self, config: Config) -> pathlib.Path:
    """Folder of the training that `config` needs."""
    return self.folder / "trainings" / identity.training_name(config)

  def adapted(self, config: Config) -> pathlib.Path:
    """File of the adapted global model; facts about it lie beside it, as JSON."""
    name = identity.digest(identity.adapted_config(config))
    return self.training(config) / "adapted" / f"{name}.npz"

  def evaluation(self, config: Config, eps: float) -> pathlib.Path:
    """File of the evaluation at one size."""
    name = identity.digest(identity.evaluation_config(config, eps))
    return self.training(config) / "evaluations" / f"{name}.json"

  def examples(self, config: Config) -> pathlib.Path:
    """File of the example images."""
    # They are made by an attack of their own, whatever the sizes are.
    name = identity.digest(identity.evaluation_config(config, 0.0), examples=1)
    return self.training(config) / "examples" / f"{name}.npz"

  def is_trained(self, config: Config) -> bool:
    """Whether the training is complete, with its model: an archive may have left that out.

    Raises:
      UserError: It was made with other settings, by a version with other defaults.
    """
    folder = self.training(config)
    if not read_json(folder / "manifest.json").get("finished"):
      return False
    if not identity.agrees(identity.training_config(config), read_json(folder / "config.json")):
      raise UserError(
        f"{folder} was trained with other defaults than this version has: delete it, or give "
        "another --cache"
      )
    return self._has_model(config)

  def _has_model(self, config: Config) -> bool:
    # As TFF's FileProgramStateManager names the state of a round.
    return (self.training(config) / "checkpoints" / f"program_state_{config.rounds}").is_dir()

  def find_evaluation(self, config: Config, eps: float) -> dict[str, Any] | None:
    """The stored evaluation; None where there is none, or one by another version's defaults."""
    found = read_json(self.evaluation(config, eps))
    wanted = identity.evaluation_config(config, eps)
    return found if found and identity.agrees(wanted, found["config"]) else None

  def missing(self, cell: Cell) -> list[float]:
    """The sizes in pixels at which a cell has yet to be attacked; [0.0] for missing examples."""
    if cell.examples:
      return [] if self.examples(cell.config).is_file() else [0.0]
    sizes = dict.fromkeys(cell.config.attack_eps)
    return [eps for eps in sizes if self.find_evaluation(cell.config, eps) is None]

  def outdated(self, cell: Cell) -> list[float]:
    """The sizes in pixels whose evaluation lacks numbers that can be computed anew.

    An older definition made them, and the model is there from which the very same copies are drawn.
    """
    if cell.examples:
      return []
    config, training = cell.config, self.training(cell.config)
    found = {eps: self.find_evaluation(config, eps) for eps in dict.fromkeys(config.attack_eps)}
    sizes = [eps for eps, e in found.items() if e and self._accuracies(config, e) is None]
    if not sizes or not self._has_model(config):
      return []
    if not identity.agrees(
      identity.training_config(config), read_json(training / "config.json")
    ) or versions.differ_from_current(read_json(training / "manifest.json")):
      return []
    return sizes

  def to_do(self, cell: Cell) -> list[float]:
    """The sizes in pixels that are missing or outdated, in the order of the cell."""
    open_sizes = {*self.missing(cell), *self.outdated(cell)}
    if cell.examples:
      return list(open_sizes)
    return [eps for eps in dict.fromkeys(cell.config.attack_eps) if eps in open_sizes]

  def _accuracies(self, config: Config, evaluation: dict[str, Any]) -> list[float] | None:
    """Of the copies on all evaluation images; None where an older definition has others."""
    manifest = read_json(self.training(config) / "manifest.json")
    return definitions.accuracies_of_copies(
      evaluation,
      one_model=not config.noisy_downlink,
      evaluation_images=_evaluation_images(manifest),
    )

  def rows(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row per cell and size for what is there: numbers, and the files that they are from."""
    rows = []
    for cell in cells:
      if cell.examples:
        continue
      for name, eps in zip(cell.eps, cell.config.attack_eps):
        found = self.find_evaluation(cell.config, eps)
        if found is not None:
          rows.append(self._row(cell, name, eps, found))
    return rows

  def _row(self, cell: Cell, name: float, eps: float, found: dict[str, Any]) -> dict[str, Any]:
    file = self.evaluation(cell.config, eps)
    labels = {
      "task": cell.task,
      "method": cell.method,
      "variant": cell.variant,
      "seed": cell.seed,
      "eps": name,
      "eps_pixels": eps,
    }
    numbers = {k: v for k, v in found["result"].items() if k != "eps"}
    facts = {k: found[k] for k in ("clean_accuracy_global", "majority_class", "attacked_images")}
    copies = self._accuracies(cell.config, found)
    # Of all images, attacked or not.
    facts["clean_accuracy_all"] = sum(copies) / len(copies) if copies else None
    images = _evaluation_images(read_json(file.parents[1] / "manifest.json"))
    made_by = versions.drawn_by(found) | {"definitions": definitions.version_of(found, images)}
    origin = {
      "evaluation": str(file.relative_to(self.folder)),
      "training": str(file.parents[1].relative_to(self.folder)),
      "git_commit": found["git_commit"],
    }
    return labels | numbers | facts | found.get("leak", {}) | origin | made_by

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps a second sweep out while this one trains.

    Raises:
      UserError: There is one, or the folder can't be written to.
    """
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(
        f"--cache={self.folder} can't be written to ({error.strerror}): choose another folder"
      ) from None
    taken = (
      f"another table or figure is being made with --cache={self.folder}: wait for it, or give "
      "another --cache"
    )
    with files.locked(self.folder / ".lock", taken):
      yield


def _evaluation_images(manifest: dict[str, Any]) -> int | None:
  return manifest.get("data", {}).get("parts", {}).get("evaluation")


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON file; empty where it is missing or damaged."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}
