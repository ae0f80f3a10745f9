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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsafe_tff import users_code
from fedsafe_tff.data.files import atomic_path, locked
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import Config

METRICS = (
  "round",
  "train_loss",
  "train_accuracy",
  "validation_loss",
  "validation_accuracy",
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
    _check_config(path, config)
    yield path


def _make(config: Config) -> pathlib.Path:
  path = pathlib.Path(config.run_dir or _new_name(config)).expanduser()
  try:
    if config.run_dir:
      path.mkdir(parents=True, exist_ok=True)
    else:
      path = _make_new(path)
    probe = path / ".writable"
    probe.write_text("")
    probe.unlink()
  except OSError as error:
    raise UserError(
      f"--run_dir={path} can't be written to ({error.strerror}): choose another folder"
    ) from None
  return path


def _check_config(path: pathlib.Path, config: Config) -> None:
  file = path / "config.json"
  if file.is_file():
    try:
      before = json.loads(file.read_text())
    except ValueError:
      raise UserError(f"{file} is damaged: choose another --run_dir") from None
    differing = config.differences(before)
    # Before the manifest nothing was computed: whoever mends what was wrong may go on here.
    if differing and not (path / "manifest.json").is_file():
      write_json(file, config.as_dict())
    elif differing:
      raise UserError(
        f"{path} holds a run of another configuration ({'; '.join(differing)}): repeat its flags "
        "to continue it, or choose another --run_dir"
      )
  elif any(entry.name != LOCK for entry in path.iterdir()):
    raise UserError(f"--run_dir={path} is not empty and not a run folder: choose another")
  else:
    write_json(file, config.as_dict())


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
  with atomic_path(path) as temporary:
    temporary.write_text(json.dumps(value, indent=2) + "\n")


def without_nan(value: Any) -> Any:
  """The same lists and dictionaries with None for what is not a number: JSON has none."""
  if isinstance(value, dict):
    return {k: without_nan(v) for k, v in value.items()}
  if isinstance(value, list):
    return [without_nan(v) for v in value]
  return None if isinstance(value, float) and value != value else value


def write_manifest(path: pathlib.Path, **facts: Any) -> None:
  """Adds `facts` to `manifest.json`; the facts of the machine and the code come by themselves."""
  file = path / "manifest.json"
  manifest = json.loads(file.read_text()) if file.is_file() else {}
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
  """A CSV file that grows by whole rows and forgets rounds that will be run again."""

  def __init__(self, path: pathlib.Path, columns: Sequence[str], *, keep_rounds: int | None = None):
    """Opens the table.

    Args:
      path: The file.
      columns: Its columns.
      keep_rounds: Rows whose `round` is above it are dropped; None keeps every row.
    """
    self._path, self._columns, self._before = path, tuple(columns), 0
    rows = []
    if path.is_file():
      with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if keep_rounds is not None:
      rows = [row for row in rows if row.get("round") and int(row["round"]) <= keep_rounds]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
      writer = csv.DictWriter(file, self._columns)
      writer.writeheader()
      writer.writerows(rows)

  def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows; None and NaN become empty cells."""
    try:
      with self._path.open("a", newline="") as file:
        self._before = file.tell()
        csv.DictWriter(file, self._columns).writerows(map(_cells, rows))
    except OSError as error:
      raise UserError(f"can't write {self._path} ({error.strerror}): free space") from None

  def amend(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows that were added last anew."""
    text = io.StringIO(newline="")
    csv.DictWriter(text, self._columns).writerows(map(_cells, rows))
    try:
      with self._path.open("r+b", buffering=0) as file:
        file.seek(self._before)
        file.write(text.getvalue().encode())  # before the cut: a kill leaves no row behind less
        file.truncate()
    except OSError as error:
      raise UserError(f"can't write {self._path} ({error.strerror}): free space") from None


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
  return {k: "" if v is None or v != v else v for k, v in row.items()}
