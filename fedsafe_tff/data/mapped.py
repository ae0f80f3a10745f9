"""Keeps images that are mapped from a file from filling the memory while all of them are read."""

import contextlib
import mmap
import threading
from collections.abc import Iterator

import numpy as np

_SECONDS = 0.1


def give_back(images: np.ndarray) -> None:
  """Gives back the pages that were read of mapped images; other arrays stay as they are.

  For loops that read faster than a clock can follow: a piece of rows, then this.
  """
  mapping = getattr(images, "_mmap", None)
  if mapping is not None:
    mapping.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def sparing(images: np.ndarray) -> Iterator[None]:
  """Gives back what was read of mapped images, ten times a second; other arrays stay as they are.

  The system keeps the pages in its cache, where others may push them out.
  """
  if getattr(images, "_mmap", None) is None:
    yield
    return
  done = threading.Event()

  def repeat() -> None:
    while not done.wait(_SECONDS):
      give_back(images)

  thread = threading.Thread(target=repeat, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()
    give_back(images)
