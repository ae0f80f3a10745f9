"""An iterated adaptation pass by pass: each is kept on disk, and what was stopped goes on with it.

The state of the round is not kept: to go on its training is made again, with the same bits.
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
from fedsafe_tff.errors import Notice
from fedsafe_tff.training import iterated

_OTHERS = tuple(name for name in iterated.Carried._fields if name != "weights")


class Kept:
  """What the last pass left, in a folder; to an adaptation that began with others it is nothing.

  Attributes:
    before: Seconds that earlier sessions took for the passes that were found.
  """

  def __init__(self, folder: pathlib.Path, made_by: str = ""):
    """Names the folder, which is made when there is something to keep.

    Args:
      folder: The folder.
      made_by: What passes depend on besides the weights that they began with; what is kept of
        others is not gone on with.
    """
    self._folder, self._file = folder, folder / "passes.npz"
    self._made_by = made_by.encode()
    self.before, self._since = 0.0, time.monotonic()

  def find(self, start: iterated.Carried) -> iterated.Carried:
    """What an adaptation that begins with `start` has come to; `start` where nothing is kept."""
    self.before, self._since = 0.0, time.monotonic()
    try:
      with np.load(io.BytesIO(sums.read(self._file)), allow_pickle=False) as archive:
        stored = dict(archive)
      if stored["start"].tobytes() != digest(start.weights) + self._made_by:
        return start
      seconds = float(stored["seconds"])
      others = {name: stored[name] for name in _OTHERS}
      weights = tuple(stored[f"weight_{number:03d}"] for number in range(len(start.weights)))
    except FileNotFoundError:
      return start
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, sums.Damaged):
      warnings.warn(f"{self._file} is damaged: its passes are made again", Notice, stacklevel=2)
      return start
    if others["table"].shape != start.table.shape:  # --adaptation_passes was another
      return start
    self.before = seconds
    return iterated.Carried(weights=weights, **others)

  def add(self, start: iterated.Carried, carried: iterated.Carried) -> None:
    """Keeps what a pass left, in the place of what the one before did.

    Raises:
      UserError: The folder can't be written to, or the disk is full.
    """
    make_folder(self._folder, "free space, or give a folder that can be written to")
    arrays = {name: np.asarray(getattr(carried, name)) for name in _OTHERS}
    arrays |= {f"weight_{n:03d}": np.asarray(w) for n, w in enumerate(carried.weights)}
    arrays["start"] = np.frombuffer(digest(start.weights) + self._made_by, np.uint8)
    arrays["seconds"] = np.float64(self.before + time.monotonic() - self._since)
    write_arrays(self._file, arrays)

  def forget(self) -> None:
    """Deletes it."""
    shutil.rmtree(self._folder, ignore_errors=True)


def make(
  weights: Sequence[np.ndarray],
  image_shape: Sequence[int],
  passes: int,
  one_pass: Callable[[dict[str, Any]], dict[str, Any]],
  kept: Kept | None,
  after_pass: Callable[[str, bool], None],
) -> iterated.Carried:
  """Makes the passes that are left.

  Args:
    weights: The aggregated weights.
    image_shape: Of the server's images.
    passes: The most that are made.
    one_pass: `FedSafeProcess.adapt_pass` with everything else bound.
    kept: Where they are kept; None keeps nothing.
    after_pass: Is told of each, once it is kept, and whether it was the last; to stop it may raise.
  """
  start = iterated.begin(weights, image_shape, passes)
  carried = start if kept is None else kept.find(start)
  while not iterated.is_over(carried):
    made = one_pass(carried._asdict())
    carried = iterated.Carried(**{name: made[name] for name in iterated.Carried._fields})
    carried = carried._replace(weights=tuple(np.asarray(w) for w in carried.weights))
    if kept is not None:
      kept.add(start, carried)
    new, collected = (int(value) for value in np.asarray(carried.table)[carried.number - 1][:2])
    after_pass(
      f"adaptation, pass {int(carried.number)} of at most {passes}: {new} new examples, "
      f"{collected} in all",
      bool(iterated.is_over(carried)),
    )
  return carried
