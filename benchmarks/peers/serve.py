"""The program's side of `benchmarks.program`; it needs the standard library and NumPy alone."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

READY, PREFIX = "READY", "ROUND "


@dataclasses.dataclass(frozen=True)
class Task:
  """A task folder.

  Attributes:
    folder: Where it lies.
    settings: Contents of `task.json`.
  """

  folder: pathlib.Path
  settings: dict[str, Any]

  @classmethod
  def read(cls, folder: str) -> "Task":
    path = pathlib.Path(folder)
    return cls(path, json.loads((path / "task.json").read_text()))

  def start(self) -> list[np.ndarray]:
    """The initial weights."""
    with np.load(self.folder / "start.npz") as archive:
      return [archive[name] for name in sorted(archive)]

  def client(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8, and labels of a client."""
    return tuple(np.load(self.folder / f"{kind}_{index}.npy") for kind in ("images", "labels"))

  def keras_model(self):
    """The CNN in Keras."""
    from benchmarks import keras_cnn

    names = ("input_shape", "num_classes", "conv_widths", "dense_widths", "mean", "stddev")
    return keras_cnn.build(*(self.settings[name] for name in names))


class Server:
  """Answers on what was standard output; what others print goes to standard error."""

  def __init__(self, task: Task):
    self._task = task
    self._answers: TextIO = sys.stdout
    sys.stdout = sys.stderr

  def _say(self, line: str) -> None:
    print(line, file=self._answers, flush=True)

  def requests(self) -> Iterator[None]:
    """One item for each round that is asked for."""
    self._say(READY)
    while sys.stdin.readline().strip() == "round":
      yield

  def answer(self, seconds: float, weights: list[np.ndarray]) -> None:
    """Tells the outcome of a round."""
    file = self._task.folder / "weights.npz"
    np.savez(file, **{f"weight_{i:03d}": np.asarray(w) for i, w in enumerate(weights)})
    self._say(PREFIX + json.dumps({"seconds": seconds, "weights": str(file)}))
