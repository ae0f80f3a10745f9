"""What clients receive for use, some clients at a time.

A healed copy costs an adaptation, so that those of many clients are long work: it is told of, what
is made is kept on disk, and what was stopped goes on with it. A copy depends on the state and its
client alone (`training.copies`), so that the bits are those of all at once.
"""

import io
import pathlib
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import make_folder, write_arrays
from fedsafe_tff.data.shards import client_name
from fedsafe_tff.errors import Notice
from fedsafe_tff.runs.report.progress import duration
from fedsafe_tff.runs.trainers import Trainer

AT_ONCE = 8
Weights = tuple[np.ndarray, ...]


class Kept:
  """Copies that were made before a stop, in a folder; to another state they are nothing."""

  def __init__(self, folder: pathlib.Path, trainer: Trainer, state: Any, made_by: str = ""):
    """Names the folder, which is made when there is something to keep.

    Args:
      folder: The folder.
      trainer: What makes the copies.
      state: What they are made of.
      made_by: What they depend on besides; copies of others are not gone on with.
    """
    keyed = [np.asarray(state.distributor[name]) for name in ("round", "noise_key")]
    self._folder, self._made_of = folder, digest((*trainer.weights(state), *keyed))
    self._made_of += made_by.encode()

  def find(self, client: int) -> tuple[Weights, float] | None:
    """The copy of a client and the seconds that it took; None where none of this state is kept."""
    file = self._file(client)
    try:
      with np.load(io.BytesIO(sums.read(file)), allow_pickle=False) as archive:
        if archive["made_of"].tobytes() != self._made_of:
          return None
        weights = (archive[name] for name in sorted(filter(str.isdecimal, archive), key=int))
        return tuple(weights), float(archive["seconds"])
    except FileNotFoundError:
      return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, sums.Damaged):
      warnings.warn(f"{file} is damaged: the copy is made again", Notice, stacklevel=2)
      return None

  def add(self, client: int, copy: Sequence[np.ndarray], seconds: float = 0.0) -> None:
    """Keeps the copy of a client, and what it took.

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


def make(
  trainer: Trainer,
  state: Any,
  clients: int,
  kept: Kept,
  after_some: Callable[[str, bool], None],
) -> tuple[list[Weights], float]:
  """Makes the copies that are left, at most `AT_ONCE` in a call of the runtime.

  Args:
    trainer: Makes them.
    state: Of the last round.
    clients: How many clients there are.
    kept: Where they are kept.
    after_some: Is told of some, once they are kept, and whether they were the last; to stop it may
      raise.

  Returns:
    A copy for each client, and the seconds that all took, those before a stop too.
  """
  found = {client: kept.find(client) for client in range(clients)}
  copies = {client: one[0] for client, one in found.items() if one is not None}
  spent = sum(one[1] for one in found.values() if one is not None)
  left = [client for client, one in found.items() if one is None]
  before, started = clients - len(left), time.monotonic()
  for first in range(0, len(left), AT_ONCE):
    these = left[first : first + AT_ONCE]
    begun = time.monotonic()
    made = trainer.copies(state, these)
    took = time.monotonic() - begun
    spent += took
    for client, copy in zip(these, made, strict=True):
      copies[client] = copy
      kept.add(client, copy, took / len(these))
    done = first + len(these)
    seconds = (time.monotonic() - started) / done * (len(left) - done)
    after_some(
      f"copy {before + done}/{clients} healed  left {duration(seconds)}", done == len(left)
    )
  return [copies[client] for client in range(clients)], spent
