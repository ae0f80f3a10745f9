"""Decodes many files on all cores, in memory that does not grow with their number.

Files go in chunks to worker processes (few files: to threads). With a scratch folder every chunk is
written there as it is done; whoever was stopped goes on from those.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import joblib
import numpy as np

from fedsafe_tff.data import chunk as chunk_lib
from fedsafe_tff.data import sums
from fedsafe_tff.data.chunk import Chunk
from fedsafe_tff.data.files import atomic_path, write_arrays
from fedsafe_tff.data.formats import window
from fedsafe_tff.data.formats.frame import Reading, Unreadable

Progress = Callable[[str], None]
Job = tuple[str, list[tuple[int, str, str]]]
_CHUNK = 256
_PROCESSES_FROM = 4096  # files; below, to start processes takes longer than they save
_SCRATCH_FROM = 1024  # files; fewer are read again sooner than found
_SAY_EVERY = 10.0  # seconds
PIXELS = "pixels.npy"
_ROW = ("number", "size", "exact", *chunk_lib.PRINTS, "gray", "part", "patient", "site", "kind")


@dataclasses.dataclass(eq=False)
class Decoded:
  """All frames, in the order of the files.

  Attributes:
    pixels: uint8 [n, s, s, c]; a memory map where they are many and a scratch folder was given.
    rows: The other arrays per frame, see `chunk.decode`.
    left_out: (file number, reason, whether it claims to be an image).
    windows: Window of every series.
    empty: How many empty slices were left out.
  """

  pixels: np.ndarray
  rows: dict[str, np.ndarray]
  left_out: list[tuple[int, str, bool]]
  windows: dict[str, tuple[float, float]]
  empty: int


def decode_files(
  files: Sequence[tuple[str, str]],
  *,
  image_size: int,
  channels: int | None,
  reading: Reading,
  scratch: pathlib.Path | None = None,
  progress: Progress | None = None,
  known: Mapping[str, tuple[float, float]] | None = None,
  resampling: str = "bilinear",
) -> Decoded:
  """Decodes and resizes.

  Args:
    files: (path, name) of each.
    image_size: Side of the square result, in pixels.
    channels: 1 or 3; None takes 1 where every image is gray.
    reading: How files are read.
    scratch: Folder for what is done, with the pixels in the end; the caller removes it. None keeps
      all in memory.
    progress: Is told how far it is.
    known: Windows that were found before on other files, for series of these names here; single
      images that it has none for are left out. None finds all windows on these files.
    resampling: As `chunk.decode` takes it.
  """
  numbered = [(i, path, name) for i, (path, name) in enumerate(files)]
  jobs = [
    (f"{start:08d}", numbered[start : start + _CHUNK]) for start in range(0, len(files), _CHUNK)
  ]
  work = functools.partial(
    chunk_lib.decode,
    image_size=image_size,
    channels=channels or 3,
    reading=reading,
    resampling=resampling,
  )
  store = _Store(scratch if len(files) >= _SCRATCH_FROM else None, len(files))
  first = store.run(jobs, work, "read", progress)
  spreads = _spreads(store.chunks(first, _MEASURES))
  windows, refused = _windows(spreads, reading.window)
  if known is not None:  # a lone file among few others says nothing of what is black or white
    windows.pop(chunk_lib.SINGLE, None)
    windows |= known
  deep = sorted({number for numbers, _ in spreads.values() for number in numbers})
  again = {}
  if deep:
    chosen = set(deep)
    later = [(key, [f for f in part if f[0] in chosen]) for key, part in jobs]
    later = [(f"{key}-{_digest(windows)}", part) for key, part in later if part]
    work = functools.partial(work, windows=windows)
    again = {name[:8]: name for name in store.run(later, work, "windowed", progress)}
  if progress and refused:
    progress(f"{refused} series have no window of their own")
  decoded = _join(store, first, again, channels)
  decoded.windows = windows
  return decoded


_MEASURES = ("deep", "deep_series", "deep_ends", "deep_own", "deep_sample", "deep_count")


def _spreads(chunks: Iterator[Chunk]) -> dict[str, tuple[list[int], window.Spread]]:
  """Series to the files that it is in and what its window is made from."""
  found: dict[str, tuple[list[int], window.Spread]] = {}
  for made in chunks:
    borders = np.cumsum(made["deep_count"])[:-1]
    samples = np.split(made["deep_sample"], borders)
    for i, sample in zip(range(len(made["deep"])), samples):
      own = made["deep_own"][i]
      spread = window.Spread(
        *made["deep_ends"][i].tolist(), sample, None if np.isnan(own[0]) else tuple(own.tolist())
      )
      series = str(made["deep_series"][i])
      numbers, before = found.get(series, ([], None))
      numbers.append(int(made["deep"][i]))
      found[series] = (numbers, before.join(spread) if before else spread)
  return found


def _windows(spreads, wanted: str) -> tuple[dict[str, tuple[float, float]], int]:
  windows, refused = {}, 0
  for series, (_, spread) in spreads.items():
    try:
      windows[series] = window.of_series(spread, wanted)
    except Unreadable:
      refused += 1
  return windows, refused


def _digest(windows: dict[str, tuple[float, float]]) -> str:
  return hashlib.sha256(repr(sorted(windows.items())).encode()).hexdigest()[:12]


class _Store:
  """Chunks in memory, or in a folder under their names."""

  def __init__(self, folder: pathlib.Path | None, count: int):
    self.folder = folder
    self._processes = count >= _PROCESSES_FROM
    self._kept: dict[str, Chunk] = {}

  def run(self, jobs: Sequence[Job], work, verb: str, progress: Progress | None) -> list[str]:
    """Does all jobs that are not done yet; returns their names."""
    waiting = [job for job in jobs if not self._holds(job[0])]
    total = sum(len(part) for _, part in jobs)
    done = total - sum(len(part) for _, part in waiting)
    if progress and done:
      progress(f"{done} of {total} files were {verb} before")
    begun = said = time.monotonic()
    here = 0
    task = functools.partial(_work, work=work, folder=self.folder)
    for name, count, made in _map(task, waiting, self._processes):
      if made is not None:
        self._kept[name] = made
      here += count
      now = time.monotonic()
      if progress and now - said > _SAY_EVERY:
        said = now
        left = (now - begun) / max(here, 1) * (total - done - here)
        progress(f"{verb} {done + here} of {total} files, {_minutes(left)} left")
    return [name for name, _ in jobs]

  def _holds(self, name: str) -> bool:
    file = None if self.folder is None else self.folder / f"{name}.npz"
    if file is None or not file.is_file():
      return False
    try:
      sums.check(file)
      return True
    except sums.Damaged:  # read again, it is written anew
      return False

  def chunks(self, names: Sequence[str], only: Sequence[str]) -> Iterator[Chunk]:
    """Some arrays of each chunk, in order."""
    for name in names:
      yield self.chunk(name, only)

  def chunk(self, name: str, only: Sequence[str]) -> Chunk:
    """Some arrays of a chunk."""
    if name in self._kept:
      return self._kept[name]
    with np.load(self.folder / f"{name}.npz", allow_pickle=False) as archive:
      return {key: archive[key] for key in only}


def _work(job: Job, *, work, folder: pathlib.Path | None) -> tuple[str, int, Chunk | None]:
  name, part = job
  made = work(part)
  if folder is None:
    return name, len(part), made
  write_arrays(folder / f"{name}.npz", made)
  return name, len(part), None


def _map(task, jobs: Sequence[Job], processes: bool) -> Iterator[tuple[str, int, Chunk | None]]:
  cores = len(os.sched_getaffinity(0))
  if processes and cores > 1:
    yield from joblib.Parallel(n_jobs=cores, return_as="generator")(
      joblib.delayed(task)(job) for job in jobs
    )
    return
  with concurrent.futures.ThreadPoolExecutor(cores) as pool:
    try:
      yield from pool.map(task, jobs)
    finally:
      pool.shutdown(cancel_futures=True)


def _minutes(seconds: float) -> str:
  return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _join(
  store: _Store, first: Sequence[str], again: dict[str, str], channels: int | None
) -> Decoded:
  """Puts the chunks together; pixels of one channel where all are gray and none is asked for."""
  rows: dict[str, list[np.ndarray]] = {name: [] for name in _ROW}
  left_out: list[tuple[int, str, bool]] = []
  orders, empty = [], 0
  for name in first:
    pair = [store.chunk(n, (*_ROW, *_BAD)) for n in (name, again.get(name)) if n]
    numbers = np.concatenate([made["number"] for made in pair])
    order = np.argsort(numbers, kind="stable")
    orders.append(order)
    for key in _ROW:
      rows[key].append(np.concatenate([made[key] for made in pair])[order])
    for made in pair:
      bad = zip(made["bad"].tolist(), made["bad_reason"].tolist(), made["bad_image"].tolist())
      left_out += list(bad)
      empty += int(made["empty"][0])
  joined = {key: np.concatenate(parts) if parts else np.zeros(0) for key, parts in rows.items()}
  one = channels is None and bool(joined["gray"].all())
  pixels = _pixels(store, first, again, orders, len(joined["number"]), one)
  return Decoded(pixels, joined, sorted(left_out), {}, empty)


_BAD = ("bad", "bad_reason", "bad_image", "empty")


def _pixels(store: _Store, first, again, orders, count: int, one: bool) -> np.ndarray:
  parts = (
    np.concatenate([store.chunk(n, ("pixels",))["pixels"] for n in (name, again.get(name)) if n])[
      order
    ][..., : 1 if one else None]
    for name, order in zip(first, orders)
  )
  if store.folder is None or not count:
    return np.concatenate(list(parts) or [np.zeros((0, 1, 1, 1), np.uint8)])
  path = store.folder / PIXELS
  with atomic_path(path) as temporary, temporary.open("wb") as file:
    for number, part in enumerate(parts):
      if not number:
        shape = (count, *part.shape[1:])
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
      file.write(np.ascontiguousarray(part).data)
  return np.load(path, mmap_mode="r", allow_pickle=False)
