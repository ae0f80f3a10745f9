"""Models as plain arrays that are whole: `models/global.npz`, `models/client_00000.npz`, ...

Global models of earlier rounds are in `models/history/`, as many as checkpoints are kept.
A file holds all that predictions depend on: what trains as `00`, `01`, ..., in the order of
`FunctionalModel.init`, with `names`; what is frozen as `frozen/00`, ..., with `frozen_names`.
Files of older versions hold `00`, `01`, ... alone. Clients have a file of their own only where
their copies differ from the global model.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from fedsafe_tff.data import sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.data.formats import npy
from fedsafe_tff.data.formats.frame import Unreadable
from fedsafe_tff.data.shards import client_name
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel

Arrays = tuple[np.ndarray, ...]
_FROZEN = "frozen/"
_HISTORY = "history"
_REMEDY = "run the training's command again, which makes it anew"


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
  """What a file holds.

  Attributes:
    weights: What trains, in the order of `FunctionalModel.init`.
    names: A name for each; empty where the model gave none, and in files of older versions.
    frozen: What does not train, in the order of `FunctionalModel.frozen`; None in files of older
      versions, which don't tell.
    frozen_names: A name for each.
  """

  weights: Arrays
  names: tuple[str, ...] = ()
  frozen: Arrays | None = None
  frozen_names: tuple[str, ...] = ()


def save(
  path: pathlib.Path,
  weights: Sequence[np.ndarray],
  copies: Sequence[Sequence[np.ndarray]],
  model: FunctionalModel,
) -> None:
  """Writes the global model and the clients' copies below `path`."""
  files = {"global": weights}
  if not all(_equal(weights, copy) for copy in copies):
    files |= {client_name(client): copy for client, copy in enumerate(copies)}
  for name, tensors in files.items():
    _write(path / f"{name}.npz", tensors, model)


def load(path: pathlib.Path, num_clients: int) -> tuple[Arrays, list[Arrays]]:
  """Reads what trains of what `save` wrote: the global model and a copy for each client.

  Raises:
    UserError: A file is missing or damaged.
  """
  weights = read(path / "global.npz").weights
  if not (path / f"{client_name(0)}.npz").is_file():
    return weights, [weights] * num_clients
  return weights, [
    read(path / f"{client_name(client)}.npz").weights for client in range(num_clients)
  ]


def save_history(
  path: pathlib.Path, earlier: Mapping[int, Sequence[np.ndarray]], model: FunctionalModel
) -> None:
  """Writes global models of earlier rounds, by round, below `path`: what an insider may keep."""
  for number, weights in earlier.items():
    _write(path / _HISTORY / f"round_{number:05d}.npz", weights, model)


def history(path: pathlib.Path) -> dict[int, Arrays]:
  """The global models of earlier rounds that `save_history` wrote, by round, the oldest first."""
  files = sorted((path / _HISTORY).glob("round_*.npz"))
  return {int(file.stem.removeprefix("round_")): read(file).weights for file in files}


def read(file: pathlib.Path, remedy: str = _REMEDY) -> Stored:
  """All that a file holds.

  Args:
    file: The file.
    remedy: What a user can do if it is damaged.

  Raises:
    UserError: It is missing or damaged.
  """
  try:
    if file.is_file():
      sums.check(file, remedy)
    archive = npy.read_stored(file)
    frozen = [name for name in archive if name.startswith(_FROZEN)]
    return Stored(
      weights=_floats(archive, sorted(filter(str.isdecimal, archive), key=int)),
      names=_strings(archive, "names"),
      frozen=_floats(archive, sorted(frozen, key=lambda n: int(n.removeprefix(_FROZEN))))
      if "frozen_names" in archive
      else None,
      frozen_names=_strings(archive, "frozen_names"),
    )
  except (Unreadable, ValueError) as error:
    raise UserError(f"{file} can't be read ({error}): train the run again") from None


def keep_frozen(file: pathlib.Path, model: FunctionalModel) -> FunctionalModel:
  """The model with the frozen weights that `file` holds; writes it where it is not there yet.

  A run that continues so trains on the frozen layers that it began with, whatever the user's
  function draws this time.

  Raises:
    UserError: The file is damaged, or of another model.
  """
  if not model.frozen:
    return model
  if not file.is_file():
    _write(file, (), model)
    return model
  remedy = "take it from a copy, or train in another --run_dir"
  return model.with_frozen(read(file, remedy).frozen)


def _write(file: pathlib.Path, weights: Sequence[np.ndarray], model: FunctionalModel) -> None:
  arrays = {f"{index:02d}": np.asarray(tensor) for index, tensor in enumerate(weights)}
  arrays |= {f"{_FROZEN}{index:02d}": value for index, (_, value) in enumerate(model.frozen)}
  if weights:
    arrays["names"] = np.array(model.weight_names, str)
  arrays["frozen_names"] = np.array([name for name, _ in model.frozen], str)
  write_arrays(file, arrays)


def _floats(archive: Mapping[str, np.ndarray], names: Sequence[str]) -> Arrays:
  """Weights; those that are no finite numbers would pass through every prediction as such."""
  for name in names:
    array = archive[name]
    if array.dtype.kind not in "fiub":
      raise ValueError(f"{name} holds {array.dtype}, expected numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
      raise ValueError(f"{name} holds values that are not finite")
  return tuple(archive[name] for name in names)


def _strings(archive: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
  return tuple(map(str, archive[name].ravel().tolist())) if name in archive else ()


def _equal(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
  return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
