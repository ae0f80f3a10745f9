"""TensorBoard's events: a run's metrics once more, from which lost rows can be had again."""

import contextlib
import pathlib
from typing import Any

import tensorflow as tf

from fedsafe_tff.runs.checkpoints import disk_errors


class Events:
  """The metrics of every round in a folder that TensorBoard shows."""

  def __init__(self, folder: pathlib.Path):
    """Opens the folder.

    Raises:
      UserError: It can't be written to.
    """
    with disk_errors(folder):
      self._writer = tf.summary.create_file_writer(str(folder))

  def write(self, row: dict[str, Any], number: int) -> None:
    """Adds the row of round `number`; None is left out."""
    with disk_errors("TensorBoard's events"), self._writer.as_default(step=number):
      for name, value in row.items():
        if name != "round" and value is not None:
          tf.summary.scalar(name, value)
      self._writer.flush()


def read(folder: pathlib.Path) -> dict[int, dict[str, float]]:
  """The rows by round, of what can be read, in float32; the latest of every round."""
  found: dict[int, dict[str, float]] = {}
  for file in sorted(folder.glob("events.out.tfevents.*")):
    # The file of a program that was killed ends where it ended; TensorFlow checks every record.
    with contextlib.suppress(tf.errors.OpError, ValueError):
      for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
          number = float(tf.make_ndarray(value.tensor))
          found.setdefault(event.step, {})[value.tag] = number
  return found
