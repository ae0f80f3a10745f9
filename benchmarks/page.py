"""The Markdown page that a benchmark prints and writes: what, where, figures."""

import datetime
import importlib.metadata
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import measure, options
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import UserError

_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")
# Flags whose values name places on this machine.
_FOLDERS = ("--data_dir", "--cache_dir", "--environments", "--out")


class Page:
  """Grows by paragraphs and tables."""

  def __init__(self, name: str, what: str, arguments: Sequence[str]):
    """Begins with what is measured, and the command.

    Args:
      name: The benchmark's module.
      what: What is measured, and how to read it.
      arguments: The command line.
    """
    self._parts = [f"# {name}", what.strip()]
    command = ["python -m", f"benchmarks.{name}", *map(shlex.quote, _without_folders(arguments))]
    self._parts.append(f"`{' '.join(command)}`")

  def machine(self, **facts: Any) -> None:
    """Adds what the figures depend on: machine, versions, commit, and `facts`."""
    known = machine() | {name.replace("_", " "): value for name, value in facts.items()}
    self._parts.append("\n".join(f"- {name}: {value}" for name, value in known.items()))

  def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Adds a table; its first column is text, the others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    self._parts.append("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines))

  def say(self, text: str) -> None:
    """Adds a paragraph."""
    self._parts.append(text)

  def text(self) -> str:
    """The page."""
    return "\n\n".join(self._parts) + "\n"

  def publish(self, out: str) -> None:
    """Prints the page and writes it to `out`, unless that is empty."""
    print(self.text(), flush=True)
    if not out:
      return
    try:
      with atomic_path(pathlib.Path(out).expanduser()) as temporary:
        temporary.write_text(self.text(), encoding="utf-8")
    except OSError as error:
      raise UserError(f"--out={out} can't be written ({error.strerror})") from None


def _without_folders(arguments: Sequence[str]) -> list[str]:
  """The command line without the names of places on this machine."""
  shown, hide = [], False
  for argument in arguments:
    name = argument.split("=")[0]
    folder = name in _FOLDERS
    shown.append("..." if hide else f"{name}=..." if folder and "=" in argument else argument)
    hide = folder and "=" not in argument  # its value comes next
  return shown


def machine() -> dict[str, str]:
  """Processor, memory, load, versions, commit."""
  from fedsafe_tff.runs import run_dir

  hardware = run_dir.hardware()
  versions = [f"Python {sys.version.split()[0]}"]
  for name in _PACKAGES:
    versions.append(f"{name} {importlib.metadata.version(name)}")
  return {
    "machine": f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB, "
    f"{hardware['system']}",
    "threads": _threads(),
    "load before": f"{options.LOAD_BEFORE:.1f} (mean of a minute)",
    "versions": ", ".join(versions),
    "commit": run_dir.git_commit() or "not a checkout",
    "date": datetime.date.today().isoformat(),
  }


def _threads() -> str:
  import tensorflow as tf

  intra = tf.config.threading.get_intra_op_parallelism_threads()
  inter = tf.config.threading.get_inter_op_parallelism_threads()
  return f"intra-op {intra or 'all cores'}, inter-op {inter or 'all cores'}"


def rate(flops_per_second: float) -> str:
  """FLOP/s for a table."""
  return f"{measure.significant(flops_per_second / 1e9)} GFLOP/s"


def percent(share: float) -> str:
  """A share for a table."""
  return f"{100 * share:.0f} %"
