"""Keeps images that are mapped from a file from filling the memory while all of them are read."""

import contextlib
import mmap
import threading
from collections.abc import Iterator

import numpy as np

_SECONDS = 0.1


@contextlib.contextmanager
def sparing(images: np.ndarray) -> Iterator[None]:
  """Gives back what was read of mapped images, ten times a second; other arrays stay as they are.

  The system keeps the pages in its cache, where others may push them out.
  """
  mapping = getattr(images, "_mmap", None)
  if mapping is None:
    yield
    return
  done = threading.Event()

  def give_back() -> None:
    while not done.wait(_SECONDS):
      mapping.madvise(mmap.MADV_DONTNEED)

  thread = threading.Thread(target=give_back, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()
    mapping.madvise(mmap.MADV_DONTNEED)
