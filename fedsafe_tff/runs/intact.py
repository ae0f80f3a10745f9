"""What of a finished run is damaged or gone, and so what has to be made again."""

import dataclasses
import json
import pathlib

from fedsafe_tff.data import sums

_FOLDERS = ("", "models", "models/history", "survey")
_EVALUATION = ("evaluation.json", "transfer_matrix.csv", "images.csv", "strata.csv", "examples.npz")
_SURVEY = "survey/"
_ALWAYS = ("evaluation.json", "models/global.npz")


@dataclasses.dataclass(frozen=True)
class Broken:
  """Names, relative to the run folder, of files that are not what was written or are gone.

  Attributes:
    training: Those that the training makes, from its newest checkpoint on.
    evaluation: Those that the attacks make.
    survey: Those that come of the images alone.
  """

  training: tuple[str, ...] = ()
  evaluation: tuple[str, ...] = ()
  survey: tuple[str, ...] = ()

  def names(self) -> list[str]:
    """All of them."""
    return sorted([*self.training, *self.evaluation, *self.survey])

  @classmethod
  def all(cls) -> "Broken":
    """As if everything were to be made: of a run that is not finished."""
    return cls(training=("",), evaluation=("",))


def broken(path: pathlib.Path) -> Broken:
  """Looks at every file of a finished run but `attacks/`, its checkpoints and its report."""
  names = {
    f"{folder}/{name}".lstrip("/") for folder in _FOLDERS for name in sums.damaged(path / folder)
  }
  names |= {name for name in _ALWAYS if not (path / name).is_file()}
  if "evaluation.json" not in names and not _is_object(path / "evaluation.json"):
    names.add("evaluation.json")
  evaluation = tuple(sorted(names & set(_EVALUATION)))
  survey = tuple(sorted(name for name in names if name.startswith(_SURVEY)))
  return Broken(tuple(sorted(names - {*evaluation, *survey})), evaluation, survey)


def models(path: pathlib.Path) -> set[tuple[str, sums.Sum]]:
  """Every model's name and content, of all that were ever stored in a run folder."""
  stored = sums.contents(path / "models")
  return {(name, content) for name, contents in stored.items() for content in contents}


def _is_object(file: pathlib.Path) -> bool:
  """Whether a file of an older version, without a checksum, can be read."""
  try:
    return bool(json.loads(file.read_bytes()))
  except (OSError, ValueError):
    return False
