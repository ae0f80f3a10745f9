"""A model for each client in a folder, kept for whoever goes on or asks again."""

import io
import pathlib
import shutil
import warnings
import zipfile
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.data import sums
from fedsafe_tff.data.files import make_folder, write_arrays
from fedsafe_tff.data.shards import client_name
from fedsafe_tff.errors import Notice

Weights = tuple[np.ndarray, ...]


class Kept:
  """A model for each client, in a folder; those that were made of something else are nothing."""

  def __init__(self, folder: pathlib.Path, made_of: bytes):
    """Names the folder, which is made when there is something to keep.

    Args:
      folder: The folder.
      made_of: What the models depend on, such as `copies.made_of`; others are not taken.
    """
    self._folder, self._made_of = folder, made_of

  def find(self, client: int) -> tuple[Weights, float] | None:
    """The model of a client and the seconds that it took; None where none of these is kept."""
    file = self._file(client)
    try:
      with np.load(io.BytesIO(sums.read(file)), allow_pickle=False) as archive:
        if archive["made_of"].tobytes() != self._made_of:
          return None
        weights = (archive[name] for name in sorted(filter(str.isdecimal, archive), key=int))
        seconds = float(archive["seconds"]) if "seconds" in archive else 0.0  # of older versions
        return tuple(weights), seconds
    except FileNotFoundError:
      return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, sums.Damaged):
      warnings.warn(f"{file} is damaged: it is made again", Notice, stacklevel=2)
      return None

  def add(self, client: int, copy: Sequence[np.ndarray], seconds: float = 0.0) -> None:
    """Keeps the model of a client, and what it took.

    Raises:
      UserError: The folder can't be written to, or the disk is full.
    """
    make_folder(self._folder, "free space, or give a folder that can be written to")
    arrays = {f"{number:02d}": np.asarray(weight) for number, weight in enumerate(copy)}
    arrays["made_of"] = np.frombuffer(self._made_of, np.uint8)
    arrays["seconds"] = np.float64(seconds)
    write_arrays(self._file(client), arrays)

  def forget(self) -> None:
    """Deletes them."""
    shutil.rmtree(self._folder, ignore_errors=True)

  def _file(self, client: int) -> pathlib.Path:
    return self._folder / f"{client_name(client)}.npz"
