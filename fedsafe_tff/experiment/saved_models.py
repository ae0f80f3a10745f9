"""The trained models as plain arrays: `models/global.npz`, `models/client_00000.npz`, ...

A file holds one array per tensor, `00`, `01`, ..., in the order of `FunctionalModel.init`. Clients
have a file of their own only where their copies differ from the global model.
"""

import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.data.shards import client_name
from fedsafe_tff.errors import UserError

Arrays = tuple[np.ndarray, ...]


def save(
  path: pathlib.Path, weights: Sequence[np.ndarray], copies: Sequence[Sequence[np.ndarray]]
) -> None:
  """Writes the global model and the clients' copies below `path`."""
  files = {"global": weights}
  if not all(_equal(weights, copy) for copy in copies):
    files |= {client_name(client): copy for client, copy in enumerate(copies)}
  for name, tensors in files.items():
    arrays = {f"{index:02d}": np.asarray(tensor) for index, tensor in enumerate(tensors)}
    with atomic_path(path / f"{name}.npz") as temporary, temporary.open("wb") as file:
      np.savez(file, **arrays)


def load(path: pathlib.Path, num_clients: int) -> tuple[Arrays, list[Arrays]]:
  """Reads what `save` wrote: the global model and a copy for each client.

  Raises:
    UserError: A file is missing or damaged.
  """
  weights = _read(path / "global.npz")
  if not (path / f"{client_name(0)}.npz").is_file():
    return weights, [weights] * num_clients
  return weights, [_read(path / f"{client_name(client)}.npz") for client in range(num_clients)]


def _read(file: pathlib.Path) -> Arrays:
  try:
    with np.load(file, allow_pickle=False) as archive:
      return tuple(archive[name] for name in sorted(archive, key=int))
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise UserError(f"{file} can't be read ({error}): train the run again") from None


def _equal(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
  return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
