"""The run folder: what is written where, and who may continue in it."""

import contextlib
import csv
import datetime
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsafe_tff import users_code
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import atomic_path, locked, sweep
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs.config import Config

METRICS = (
  "round",
  "train_loss",
  "train_accuracy",
  "validation_loss",
  "validation_accuracy",
  "robust_validation_accuracy",
  "learning_rate",
  "epsilon",
  "epsilon_paper",
  "clipped_share",
  "adapted",
  "adaptation_loss",
  "adaptation_accuracy",
  "left_out",
  "seconds",
)
CLIENTS = (
  "round",
  "client",
  "num_examples",
  "loss",
  "accuracy",
  "norm",
  "clipped",
  "noise_to_signal",
)
LOCK = ".lock"
_PACKAGES = (
  "tensorflow",
  "tensorflow-federated",
  "tensorflow-privacy",
  "tensorflow-datasets",
  "dp-accounting",
  "numpy",
)


@contextlib.contextmanager
def open_run_dir(config: Config) -> Iterator[pathlib.Path]:
  """Makes the run folder, or finds the one of the same config, and keeps it for this process.

  Raises:
    UserError: It can't be written to, holds something else, belongs to another config, or another
      process works in it.
  """
  path = _make(config)
  taken = f"another process works in {path}: wait for its end, or choose another --run_dir"
  with locked(path / LOCK, taken):
    sweep(path, below=True)
    _check_config(path, config)
    yield path


def _make(config: Config) -> pathlib.Path:
  path = pathlib.Path(config.run_dir or _new_name(config)).expanduser()
  try:
    if config.run_dir:
      path.mkdir(parents=True, exist_ok=True)
    else:
      path = _make_new(path)
  except OSError as error:
    raise UserError(
      f"--run_dir={path} can't be written to ({error.strerror}): choose another folder"
    ) from None
  return path


def _check_config(path: pathlib.Path, config: Config) -> None:
  file = path / "config.json"
  if file.is_file():
    try:
      before = json.loads(sums.read(file))
    except (ValueError, sums.Damaged):
      before = _config_of_manifest(path, config)
      warnings.warn(f"{file} was damaged: it is made anew", Notice, stacklevel=2)
      write_json(file, before)
    differing = config.differences(before)
    # Before the manifest nothing was computed: whoever mends what was wrong may go on here.
    if differing and not (path / "manifest.json").is_file():
      write_json(file, config.as_dict())
    elif differing:
      raise UserError(
        f"{path} holds a run of another configuration ({'; '.join(differing)}): repeat its flags "
        "to continue it, or choose another --run_dir"
      )
  elif any(entry.name not in (LOCK, sums.NAME) for entry in path.iterdir()):
    raise UserError(f"--run_dir={path} is not empty and not a run folder: choose another")
  else:
    write_json(file, config.as_dict())


def _config_of_manifest(path: pathlib.Path, config: Config) -> dict[str, Any]:
  """The settings, which the manifest holds too; those given now where nothing was computed yet."""
  manifest = read_manifest(path)
  if manifest and "config" not in manifest:  # of an older version
    raise UserError(f"{path / 'config.json'} is damaged: choose another --run_dir")
  return manifest.get("config") or config.as_dict()


def _make_new(path: pathlib.Path) -> pathlib.Path:
  """Makes the folder, under another name if a run that began in the same second has this one."""
  for number in itertools.count(1):
    candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
    try:
      candidate.mkdir(parents=True)
      return candidate
    except FileExistsError:
      continue
  raise AssertionError


def _new_name(config: Config) -> str:
  now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
  name = config.algorithm
  if name == "fedsafe":
    name = "+".join(users_code.short_name(part) for part in config.defense.split("+"))
    name = name.replace(":", "-")
  parts = [now, config.dataset, config.task, name, f"seed{config.seed}"]
  return os.path.join("runs", "-".join(part for part in parts if part))


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON so that a reader never meets half of it."""
  with atomic_path(path, summed=True) as temporary:
    temporary.write_text(json.dumps(value, indent=2) + "\n")


def without_nan(value: Any) -> Any:
  """The same lists and dictionaries with None for what is not a number: JSON has none."""
  if isinstance(value, dict):
    return {k: without_nan(v) for k, v in value.items()}
  if isinstance(value, list):
    return [without_nan(v) for v in value]
  return None if isinstance(value, float) and value != value else value


def read_manifest(path: pathlib.Path) -> dict[str, Any]:
  """What sessions before this one wrote; empty where there was none.

  Raises:
    UserError: It is damaged.
  """
  file = path / "manifest.json"
  try:
    made = json.loads(sums.read(file)) if file.is_file() else {}
    if isinstance(made, dict):
      return made
  except (OSError, ValueError, sums.Damaged):
    pass
  raise UserError(
    f"{file} is damaged: it holds the noise's seed and what the run was made of: take it from a "
    "copy, or choose another --run_dir"
  )


def write_manifest(path: pathlib.Path, **facts: Any) -> None:
  """Adds `facts` to `manifest.json`; the facts of the machine and the code come by themselves."""
  file = path / "manifest.json"
  manifest = read_manifest(path)
  manifest |= {
    "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
    "versions": {name: _version(name) for name in _PACKAGES} | {"python": sys.version.split()[0]},
    "git_commit": git_commit(),
    "hardware": hardware(),
  }
  write_json(file, manifest | facts)


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def git_commit() -> str | None:
  """Commit of the code, with a `+` where it was changed; None outside a checkout."""
  folder = pathlib.Path(__file__).resolve().parents[2]
  try:
    run = {"cwd": folder, "capture_output": True, "text": True, "timeout": 10, "check": True}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], **run).stdout.strip()
    return commit + ("+" if changed else "")
  except (OSError, subprocess.SubprocessError):
    return None


def hardware() -> dict[str, Any]:
  """Processor, cores, memory and system of this machine."""
  import psutil

  model = platform.processor()
  info = pathlib.Path("/proc/cpuinfo")
  if info.is_file():
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    model = names[0].split(":", 1)[1].strip() if names else model
  return {
    "cpu": model,
    "cores": os.cpu_count(),
    "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    "system": platform.platform(),
  }


class CsvTable:
  """A CSV file that grows by whole rows and forgets rounds that will be run again.

  Attributes:
    lost: Rounds that ought to be there and are not.
    rows: Those of earlier sessions, until the first one is added.
  """

  def __init__(self, path: pathlib.Path, columns: Sequence[str], *, keep_rounds: int | None = None):
    """Opens the table.

    Args:
      path: The file; what is damaged of it is left out.
      columns: Its columns.
      keep_rounds: Rows whose `round` is above it are dropped; None keeps every row.
    """
    self._path, self._columns = path, tuple(columns)
    rows = []
    if path.is_file():
      data, whole = sums.read_table(path)
      rows = list(csv.DictReader(io.StringIO(data.decode(errors="replace"), newline="")))
      if not whole:
        aside = path.with_name(f"damaged_{path.name}")
        path.replace(aside)
        warnings.warn(f"{path} was damaged: it is put aside as {aside}", Notice, stacklevel=2)
    self.lost: list[int] = []
    if keep_rounds is not None:
      rows = [row for row in rows if 0 < _round(row) <= keep_rounds]
      self.lost = sorted({*range(1, keep_rounds + 1)} - {_round(row) for row in rows})
    self._sum = self._before = sums.Sum()
    self._write(rows)

  def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(self._path, summed=True) as temporary:
      data = self._text(rows, heading=True)
      temporary.write_bytes(data)
    self.rows, self._sum = list(rows), sums.Sum().then(data)

  def _text(self, rows: Sequence[Mapping[str, Any]], heading: bool = False) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, self._columns, extrasaction="ignore")
    if heading:
      writer.writeheader()
    writer.writerows({k: "" if v is None or v != v else v for k, v in row.items()} for row in rows)
    return stream.getvalue().encode()

  def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Puts rows of lost rounds back in their places."""
    self._write(sorted([*self.rows, *rows], key=lambda row: int(row["round"])))
    self.lost = sorted(set(self.lost) - {int(row["round"]) for row in rows})

  def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows; None and NaN become empty cells."""
    data = self._text(rows)
    self.rows = []
    self._before, self._sum = self._sum, self._sum.then(data)
    try:
      sums.record(self._path, self._sum)
      with self._path.open("ab") as file:
        file.write(data)
    except OSError as error:
      raise UserError(f"can't write {self._path} ({error.strerror}): free space") from None

  def amend(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows that were added last anew."""
    data = self._text(rows)
    self._sum = self._before.then(data)
    try:
      sums.record(self._path, self._sum)
      with self._path.open("r+b", buffering=0) as file:
        file.seek(self._before.size)
        file.write(data)  # before the cut: a kill leaves no row behind less
        file.truncate()
    except OSError as error:
      raise UserError(f"can't write {self._path} ({error.strerror}): free space") from None


def _round(row: Mapping[str, Any]) -> int:
  try:
    return int(row["round"])
  except (KeyError, TypeError, ValueError):
    return 0
