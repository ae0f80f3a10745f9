"""States on disk, by round, through TFF's program-state manager."""

import asyncio
import contextlib
import pathlib
import shutil
import warnings
from collections.abc import Coroutine, Iterator
from concurrent import futures
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs.plain import plain

_PREFIX = "program_state_"  # TFF's own
_ASIDE = "damaged_"


class _Here(futures.ThreadPoolExecutor):
  """Does in the caller's thread what it is given.

  TFF saves in a thread of asyncio's, a new one for each loop. Each leaves an arena of malloc's
  fuller of holes, and objects that TensorFlow keeps by thread: 0.1 MiB a checkpoint.
  """

  def submit(self, function, /, *args, **named) -> futures.Future:
    """Calls it; the future is done."""
    future = futures.Future()
    try:
      future.set_result(function(*args, **named))
    except Exception as error:
      future.set_exception(error)
    return future


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
  """`asyncio.run` without threads."""
  with contextlib.closing(asyncio.new_event_loop()) as loop:
    loop.set_default_executor(_Here())
    return loop.run_until_complete(coroutine)


class Checkpoints:
  """The states of a run; each has the checksums of its files in its folder."""

  def __init__(self, folder: pathlib.Path, keep: int, every: int = 1, last: int = 0):
    """Opens the folder.

    Args:
      folder: The folder.
      keep: How many states stay there.
      every: States of other rounds than every so many come of a stop: they don't count, and go with
        the next save, so that a run that was stopped ends with the states of one that was not.
      last: The last round, whose state is none of a stop.

    Raises:
      UserError: It can't be made.
    """
    self._folder, self._keep, self._every, self._last = folder, keep, every, last
    # A save that was cut off leaves a folder of its own behind.
    for left in folder.glob("*_temp*"):
      shutil.rmtree(left, ignore_errors=True)
    with disk_errors(folder):
      folder.mkdir(parents=True, exist_ok=True)

  @contextlib.contextmanager
  def _manager(self, more: int = 0) -> Iterator[tff.program.FileProgramStateManager]:
    keep = self._keep + more if self._keep > 0 else self._keep
    with plain(self._folder) as name:
      yield tff.program.FileProgramStateManager(name, keep_total=keep, keep_first=False)

  def _of_stops(self, before: int) -> list[int]:
    return [v for v in self._versions() if v < before and self._is_of_stop(v)]

  def _is_of_stop(self, version: int) -> bool:
    return version % self._every != 0 and version != self._last

  def _path(self, version: int) -> pathlib.Path:
    return self._folder / f"{_PREFIX}{version}"

  def _versions(self) -> list[int]:
    with self._manager() as manager:
      return sorted(_run(manager.get_versions()) or [])

  def _load(self, version: int, structure: Any) -> Any:
    sums.check_tree(self._path(version))
    with self._manager() as manager:
      return _run(manager.load(version, structure))

  def newest(self, structure: Any) -> tuple[Any, int]:
    """The newest readable state and its round, else (`structure`, 0).

    What is newer and can't be read is put aside, and a `Notice` says so.

    Raises:
      UserError: There are states, and none can be read.
    """
    unreadable = {}
    versions = self._versions()
    for version in reversed(versions):
      try:
        state = self._load(version, structure)
      except Exception as error:  # the one before may still be whole
        unreadable[version] = " ".join(str(error).split())[:300]
        continue
      for number, said in unreadable.items():
        self._put_aside(number, said, version)
      # Who is killed between a state and its checksums leaves it without.
      with contextlib.suppress(OSError):
        if not (self._path(version) / sums.NAME).is_file():
          sums.record_tree(self._path(version))
      return state, version
    if versions:
      raise UserError(
        f"no checkpoint of {versions} in {self._folder} can be read ({unreadable[versions[-1]]}): "
        "start in another --run_dir, or delete them to train from the first round"
      )
    return structure, 0

  def _put_aside(self, number: int, said: str, instead: int) -> None:
    aside = self._folder / f"{_ASIDE}{number}"
    with disk_errors(aside):
      shutil.rmtree(aside, ignore_errors=True)
      self._path(number).rename(aside)
    warnings.warn(
      f"the checkpoint of round {number} can't be read ({said}): it is put aside as {aside}, and "
      f"rounds from {instead + 1} on are run again",
      Notice,
      stacklevel=3,
    )

  def earlier(self, structure: Any, last: int) -> dict[int, Any]:
    """The states before round `last` that are still there and readable, by round."""
    versions = [v for v in self._versions() if v < last and not v % self._every]
    if self._keep > 0:  # who is killed before an old one is removed has one too many
      versions = versions[max(0, len(versions) - self._keep + 1) :]
    found = {}
    for version in versions:
      with contextlib.suppress(Exception):  # a damaged one is none
        found[version] = self._load(version, structure)
    return found

  def save(self, state: Any, version: int) -> None:
    """Writes a state; what can't be written is a UserError."""
    stale = self._of_stops(version)
    more = len(stale) + self._is_of_stop(version)
    with disk_errors(f"checkpoint of round {version}"), self._manager(more) as manager:
      with contextlib.suppress(tff.program.ProgramStateExistsError):
        _run(manager.save(state, version))
        sums.record_tree(self._path(version))
    for number in stale:
      shutil.rmtree(self._path(number), ignore_errors=True)


@contextlib.contextmanager
def disk_errors(what: str | pathlib.Path) -> Iterator[None]:
  """TensorFlow tells of a full disk by errors of its own.

  Raises:
    UserError: Something can't be written within the block; `what` says what.
  """
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    said = " ".join(str(error).split())
    raise UserError(
      f"{what} can't be written ({said}): free space, then run the same command to continue"
    ) from None
