"""Reads a run folder, also that of an interrupted run."""

import csv
import dataclasses
import io
import json
import math
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff import users_code
from fedsafe_tff.data import sums
from fedsafe_tff.errors import UserError

Row = dict[str, Any]
_GROWING = ("metrics.csv", "clients.csv", "adaptation.csv")
OWN_COPY = "own_copy"  # the attacker of results that name none: older ones knew no other


@dataclasses.dataclass(frozen=True, eq=False)
class RunFolder:
  """What a run left behind; missing files are empty.

  Attributes:
    path: The folder.
    config: Flag name to value.
    manifest: Facts of the run.
    metrics: A row per round.
    clients: A row per round and client.
    partition: Label counts.
    evaluation: Results of the attacks.
    transfer: A row per attack, size, adversary and victim.
    examples: Arrays of Figure 1.
    again: Results of later attacks on the run, by the folder's name below `attacks/`.
    passes: A row per pass of an iterated adaptation.
  """

  path: pathlib.Path
  config: dict[str, Any]
  manifest: dict[str, Any]
  metrics: list[Row]
  clients: list[Row]
  partition: dict[str, Any]
  evaluation: dict[str, Any]
  transfer: list[Row]
  examples: dict[str, np.ndarray]
  again: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
  passes: list[Row] = dataclasses.field(default_factory=list)

  @classmethod
  def read(
    cls, path: str | pathlib.Path, damaged: list[str] | None = None
  ) -> "RunFolder":
    """Reads `path`.

    Args:
      path: The run folder.
      damaged: Takes the names of damaged files, which are left out then; None makes them errors.

    Raises:
      UserError: It is no run folder, or a file in it is damaged; its settings and facts always may
        not be.
    """
    path = pathlib.Path(path)
    if not (path / "config.json").is_file():
      raise UserError(f"{path} is not a run folder: it has no config.json")
    read = _Reader(path, damaged)
    return cls(
      path=path,
      config=_Reader(path).json("config.json"),
      manifest=_Reader(path).json("manifest.json"),
      metrics=read.table("metrics.csv"),
      clients=read.table("clients.csv"),
      partition=read.json("partition.json"),
      evaluation=read.json("evaluation.json"),
      transfer=read.table("transfer_matrix.csv"),
      examples=read.arrays("examples.npz"),
      again={
        file.parent.name: read.json(f"attacks/{file.parent.name}/{file.name}")
        for file in sorted((path / "attacks").glob("*/evaluation.json"))
      },
      passes=read.table("adaptation.csv"),
    )

  def title(self) -> str:
    """Data set, task and method."""
    algorithm = self.config.get("algorithm", "fedsafe")
    method = self.config.get("defense") if algorithm == "fedsafe" else algorithm
    method = "+".join(users_code.short_name(part) for part in str(method).split("+"))
    data = f"{self.config.get('dataset', '?')} {self.config.get('task', '')}".strip()
    return f"{data}, {method}"

  def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rounds and values of a metric, without empty cells."""
    pairs = [(r["round"], r[name]) for r in self.metrics if isinstance(r.get(name), float)]
    rounds, values = zip(*pairs) if pairs else ((), ())
    return np.array(rounds, float), np.array(values, float)

  def matrices(
    self, key: str = "asr", attacker: str | None = None
  ) -> dict[tuple[str, float], np.ndarray]:
    """(attack, eps) to the N x N matrix of `key`; rows are adversaries.

    Args:
      key: A column of `transfer_matrix.csv`.
      attacker: Whose attacks; None for everybody's, where no two attackers share an attack.
    """
    count = 1 + max((int(r["victim"]) for r in self.transfer), default=-1)
    made: dict[tuple[str, float], np.ndarray] = {}
    for row in self.transfer:
      if attacker not in (None, row.get("attacker", OWN_COPY)):
        continue
      matrix = made.setdefault((row["attack"], row["eps"]), np.full([count, count], np.nan))
      if isinstance(row[key], float):
        matrix[int(row["adversary"]), int(row["victim"])] = row[key]
    return made


class _Reader:
  """Reads files of a run folder; missing ones are empty, and damaged ones an error or noted."""

  def __init__(self, folder: pathlib.Path, damaged: list[str] | None = None):
    self._folder, self._damaged = folder, damaged

  def _read(self, name: str, parse: Callable[[bytes], Any], empty: Any) -> Any:
    path = self._folder / name
    if not path.is_file():
      return empty
    try:
      return parse(sums.read_table(path) if name in _GROWING else sums.read(path))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, sums.Damaged) as error:
      if self._damaged is None:
        said = "" if isinstance(error, sums.Damaged) else f" ({' '.join(str(error).split())[:100]})"
        raise UserError(
          f"{path} is damaged{said}: run the command that made it again, or take it from a copy"
        ) from None
      self._damaged.append(name)
      return empty

  def json(self, name: str) -> dict[str, Any]:
    """A JSON file."""
    return self._read(name, json.loads, {})

  def arrays(self, name: str) -> dict[str, np.ndarray]:
    """An `.npz`."""
    return self._read(name, _arrays, {})

  def table(self, name: str) -> list[Row]:
    """A CSV file."""
    return self._read(name, _grown if name in _GROWING else _rows, [])


def _arrays(data: bytes) -> dict[str, np.ndarray]:
  with np.load(io.BytesIO(data), allow_pickle=False) as archive:
    return dict(archive)


def _grown(found: tuple[bytes, bool]) -> list[Row]:
  data, whole = found
  if not whole:
    raise ValueError("rows are not those that were written")
  return _rows(data)


def _rows(data: bytes) -> list[Row]:
  rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
  return [{k: _value(v) for k, v in row.items()} for row in rows]


def _value(text: str | None) -> float | str | None:
  if text is None or text == "":
    return None
  try:
    number = float(text)
  except ValueError:
    return text
  return number if math.isfinite(number) else None
