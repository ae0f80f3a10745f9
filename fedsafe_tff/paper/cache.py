"""The cache of a sweep, shared by tables and figures.

  trainings/TASK-seedN-HASH-INPUTS/    a run folder: config, manifest, metrics, checkpoints
    adapted/HASH.npz, HASH.json        the global model after one way of adapting it
    evaluations/HASH.json              one attack, or one suite, at one size on the clients' copies
    surrogates/                        models that attackers trained on their own images alone
    trials/HASH/                       what the attacks of suites did, image by image
    examples/HASH.npz, HASH.json       Figure 1's images

HASH is that of the settings, INPUTS the identity of the images and of a user's model, which every
JSON file holds too: what is found is compared with what is asked for. Everything that rests on a
training lies in its folder, so that a number's origin is its path, and what is deleted goes with
all that came of it.
"""

import contextlib
import dataclasses
import json
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.data import files, sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.evaluation import definitions
from fedsafe_tff.paper import identity
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.paper.request import Request
from fedsafe_tff.runs.config import Config
from fedsafe_tff.training import own


@dataclasses.dataclass(frozen=True)
class Cache:
  """Where the results of a configuration lie, and whether they are there.

  Attributes:
    folder: The cache's folder.
    known: From a configuration to `Inputs.identity`; None where that can't be told, as without the
      images: results of the same settings are then taken, if they are all of the same inputs.
    only_read: Whether results from before there was such an identity are taken too.
  """

  folder: pathlib.Path
  known: Callable[[Config], str | None] = lambda config: None
  only_read: bool = False

  @classmethod
  def of(cls, request: Request) -> "Cache":
    """The cache as a request sees it."""
    return cls(request.cache, request.known, request.only_cached)

  def training(self, config: Config) -> pathlib.Path:
    """Folder of the training that `config` needs."""
    trainings = self.folder / "trainings"
    # A user's defence is a part of what is known only as far as the training has it.
    inputs = self.known(identity.training_config(config))
    if inputs is not None:
      wanted = trainings / identity.training_name(config, inputs)
    else:
      found = self.candidates(config)
      wanted = found[0] if len(found) == 1 else trainings / identity.training_name(config)
    old = self.old_training(config)
    return old if self.only_read and not wanted.is_dir() and old.is_dir() else wanted

  def candidates(self, config: Config) -> list[pathlib.Path]:
    """Trainings with the settings of `config`, on whatever images and with whatever model."""
    found = sorted((self.folder / "trainings").glob(f"{identity.training_name(config)}-*"))
    manifests = [read_json(folder / "manifest.json") for folder in found]
    return [f for f, manifest in zip(found, manifests) if _begins_alike(config, manifest)]

  def old_training(self, config: Config) -> pathlib.Path:
    """Its folder before the identity of images and model was a part of the name."""
    return self.folder / "trainings" / identity.old_training_name(config)

  def _file(
    self, config: Config, kind: str, stage: Config, suffix: str, **more: Any
  ) -> pathlib.Path:
    folder = self.training(config)
    is_old = folder == self.old_training(config)
    digest = identity.old_digest if is_old else identity.digest
    return folder / kind / f"{digest(stage, **more)}{suffix}"

  def adapted(self, config: Config) -> pathlib.Path:
    """File of the adapted global model; facts about it lie beside it, as JSON."""
    return self._file(config, "adapted", identity.adapted_config(config), ".npz")

  def evaluation(self, config: Config, eps: float) -> pathlib.Path:
    """File of the evaluation at one size."""
    return self._file(config, "evaluations", identity.evaluation_config(config, eps), ".json")

  def trials(self, config: Config, images: int) -> pathlib.Path:
    """Folder of the results image by image of suites that attack so many images."""
    return self._file(config, "trials", identity.trials_config(config), "", images=images)

  def examples(self, config: Config) -> pathlib.Path:
    """File of the example images; facts about them lie beside it, as JSON."""
    # They are made by an attack of their own, whatever the sizes are.
    stage = identity.evaluation_config(config, 0.0)
    return self._file(config, "examples", stage, ".npz", examples=1)

  def is_trained(self, config: Config) -> bool:
    """Whether the training is complete, with its model: an archive may have left that out.

    Raises:
      UserError: It was made with other settings, by a version with other defaults, or of other
        images or with another model.
    """
    folder = self.training(config)
    manifest = read_json(folder / "manifest.json")
    if not manifest.get("finished"):
      return False
    if not identity.agrees(identity.training_config(config), read_json(folder / "config.json")):
      raise UserError(
        f"{folder} was trained with other defaults than this version has: delete it, or give "
        "another --cache"
      )
    if not self._same_inputs(identity.training_config(config), manifest):
      raise UserError(
        f"{folder} was trained on other images or with another model than those there now: delete "
        "it, or give another --cache"
      )
    return self._has_model(config)

  def _has_model(self, config: Config) -> bool:
    # As TFF's FileProgramStateManager names the state of a round.
    return (self.training(config) / "checkpoints" / f"program_state_{config.rounds}").is_dir()

  def _same_inputs(self, config: Config, stored: dict[str, Any]) -> bool:
    """Whether something stored is of the images and the model that are there."""
    if stored.get("identity") is None:
      return self.only_read  # told by `known.notes`
    return self.known(config) in (None, stored["identity"]) and _begins_alike(config, stored)

  def _is_hit(self, config: Config, stage: Config, stored: dict[str, Any]) -> bool:
    """Whether something stored is by this version's defaults, of the same images and model."""
    return (
      bool(stored)
      and identity.agrees(stage, stored["config"])
      and self._same_inputs(stage, stored)
    )

  def find_evaluation(self, config: Config, eps: float) -> dict[str, Any] | None:
    """The stored evaluation; None where there is none that holds for `config`."""
    found = read_json(self.evaluation(config, eps))
    wanted = identity.evaluation_config(config, eps)
    if not self._is_hit(config, wanted, found):
      return None
    return None if not self.only_read and by_other_attackers(config, found) else found

  def has_adapted(self, config: Config) -> bool:
    """Whether there is an adapted model that holds for `config`."""
    file = self.adapted(config)
    facts = read_json(file.with_suffix(".json"))
    return _is_whole(file) and self._is_hit(config, identity.adapted_config(config), facts)

  def has_examples(self, config: Config) -> bool:
    """Whether there are example images that hold for `config`."""
    file = self.examples(config)
    facts = read_json(file.with_suffix(".json"))
    if not facts and self.only_read:  # there were no facts before
      return _is_whole(file) and self.training(config) == self.old_training(config)
    wanted = identity.evaluation_config(config, 0.0)
    return _is_whole(file) and self._is_hit(config, wanted, facts)

  def missing(self, cell: Cell) -> list[float]:
    """The sizes in pixels at which a cell has yet to be attacked; [0.0] for missing examples."""
    if cell.examples:
      return [] if self.has_examples(cell.config) else [0.0]
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
    sizes = [eps for eps, e in found.items() if e and self.accuracies(config, e) is None]
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

  def accuracies(self, config: Config, evaluation: dict[str, Any]) -> list[float] | None:
    """Of the copies on all evaluation images; None where an older definition has others."""
    manifest = read_json(self.training(config) / "manifest.json")
    return definitions.accuracies_of_copies(
      evaluation,
      one_model=not config.noisy_downlink,
      evaluation_images=evaluation_images(manifest),
    )

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
      files.sweep(self.folder, below=True)
      yield


def evaluation_images(manifest: dict[str, Any]) -> int | None:
  """How many there are, by the manifest of a training; None where an old one doesn't tell."""
  return manifest.get("data", {}).get("parts", {}).get("evaluation")


def _begins_alike(config: Config, stored: dict[str, Any]) -> bool:
  """Whether something stored began from weights that were given, or did not, as is asked for."""
  # Which weights they were is a part of the identity, where that is known.
  return not stored or bool(stored.get("init_hash")) == bool(config.init_from)


def by_other_attackers(config: Config, evaluation: dict[str, Any]) -> bool:
  """Whether a suite was run when one of its attackers held something else of such copies."""
  users = "copies" in own.slots_of(config.defense)
  if config.evaluation != "strong" or not (config.heals_copies or users):
    return False
  return evaluation.get("result_versions", {}).get("attackers", 1) < 2  # `evaluation.suites`


def _is_whole(file: pathlib.Path) -> bool:
  """Whether a file is there and is what was written; a `Notice` tells of a damaged one."""
  try:
    sums.check(file)
  except sums.Damaged as error:
    warnings.warn(f"{file} is taken for missing: {error}", Notice, stacklevel=2)
    return False
  except OSError:
    return False
  return file.is_file()


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON file; empty where it is missing or damaged, of which a `Notice` tells."""
  try:
    return json.loads(sums.read(path))
  except FileNotFoundError:
    return {}
  except (OSError, ValueError, sums.Damaged) as error:
    warnings.warn(f"{path} is taken for missing: {error}", Notice, stacklevel=2)
    return {}
