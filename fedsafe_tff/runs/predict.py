"""Labels image files by a model, read as its training read them."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.data import inventory
from fedsafe_tff.data.chunk import SINGLE
from fedsafe_tff.data.decoding import decode_files
from fedsafe_tff.data.formats.opening import shown
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.export import Facts

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Line:
  """What became of an image.

  Attributes:
    file: Name of its file, in characters that can be written.
    part: Which one of the file's images, such as "page 2"; empty where it is the only one.
    label: Name of the most probable class; empty where the file could not be read.
    probability: Of that class; None where the file could not be read.
    error: Why it could not be read.
    failed: Whether it ought to have been: it was named, or claims to be an image.
  """

  file: str
  part: str = ""
  label: str = ""
  probability: float | None = None
  error: str = ""
  failed: bool = False

  def text(self) -> str:
    """On one line, for a terminal."""
    name = f"{self.file} ({self.part})" if self.part else self.file
    return f"{name}\t{self.label}\t{self.probability:.4f}"

  def row(self) -> dict[str, object]:
    """For a CSV file."""
    cells = {name: getattr(self, name) for name in ("file", "part", "label", "error")}
    found = None if self.probability is None else f"{self.probability:.6f}"
    order = ("file", "part", "label", "probability", "error")
    return {name: (cells | {"probability": found})[name] for name in order}


def predict(
  model: tf.Module,
  facts: Facts,
  paths: Sequence[str],
  progress: Callable[[str], None] | None = None,
) -> Iterator[Line]:
  """Yields a line for every image of the files, in their order; a file may hold several.

  Args:
    model: As `export.open_model` gives it.
    facts: What it takes.
    paths: Files, and folders with all below them.
    progress: Is told how far it is, where it takes long.

  Raises:
    UserError: The model takes images that are not square, as no files are read.
  """
  height, width, channels = facts.input_shape
  if height != width:
    raise UserError(
      f"the model takes images of {height} x {width} pixels, and files are made squares only"
    )
  files, named, lines = _listed(paths)
  with tempfile.TemporaryDirectory(prefix="fedsafe-") as scratch:
    decoded = decode_files(
      files,
      image_size=height,
      channels=channels,
      reading=facts.reading,
      scratch=pathlib.Path(scratch),
      progress=progress,
      known={} if facts.window is None else {SINGLE: facts.window},
      resampling=facts.resampling,
    )
    refused = {number: (reason, is_image) for number, reason, is_image in decoded.left_out}
    probabilities = _probabilities(model, decoded.pixels)
    rows = iter(zip(decoded.rows["number"], decoded.rows["part"], probabilities))
    row = next(rows, None)
    for number, (_, name) in enumerate(files):
      if number in refused:
        reason, is_image = refused[number]
        yield Line(name, error=reason, failed=is_image or number in named)
      while row is not None and row[0] == number:
        best = int(row[2].argmax())
        yield Line(name, str(row[1]), facts.class_names[best], float(row[2][best]))
        row = next(rows, None)
  yield from lines


def _listed(paths: Sequence[str]) -> tuple[list[tuple[str, str]], set[int], list[Line]]:
  """(path, name) of every file, numbers of those that were named, and what no file comes from."""
  files: list[tuple[str, str]] = []
  named: set[int] = set()
  lines: list[Line] = []
  for path in paths:
    if not pathlib.Path(path).is_dir():
      named.add(len(files))
      files.append((path, shown(path)))
      continue
    try:
      found = inventory.walk(path)
    except OSError as error:
      lines.append(Line(shown(path), error=f"it can't be listed ({error.strerror})", failed=True))
      continue
    files += [(str(f.path), shown(pathlib.Path(path, *f.parts))) for f in found.files]
    for name, reason in found.left_out:
      lines.append(Line(shown(pathlib.Path(path, name)), error=reason, failed=True))
    if not found.files and not found.left_out:
      lines.append(Line(shown(path), error="the folder holds no files", failed=True))
  return files, named, lines


def _probabilities(model: tf.Module, pixels: np.ndarray) -> Iterator[np.ndarray]:
  for start in range(0, len(pixels), _BATCH):
    yield from model.probabilities(tf.constant(pixels[start : start + _BATCH])).numpy()
