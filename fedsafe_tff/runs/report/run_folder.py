"""Reads a run folder, also that of an interrupted run."""

import csv
import dataclasses
import json
import math
import pathlib
from typing import Any

import numpy as np

from fedsafe_tff import users_code
from fedsafe_tff.errors import UserError

Row = dict[str, Any]
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
  def read(cls, path: str | pathlib.Path) -> "RunFolder":
    """Reads `path`.

    Raises:
      UserError: It is no run folder.
    """
    path = pathlib.Path(path)
    if not (path / "config.json").is_file():
      raise UserError(f"{path} is not a run folder: it has no config.json")
    examples = {}
    if (path / "examples.npz").is_file():
      with np.load(path / "examples.npz", allow_pickle=False) as archive:
        examples = dict(archive)
    return cls(
      path=path,
      config=_read_json(path / "config.json"),
      manifest=_read_json(path / "manifest.json"),
      metrics=_read_csv(path / "metrics.csv"),
      clients=_read_csv(path / "clients.csv"),
      partition=_read_json(path / "partition.json"),
      evaluation=_read_json(path / "evaluation.json"),
      transfer=_read_csv(path / "transfer_matrix.csv"),
      examples=examples,
      again={
        file.parent.name: _read_json(file)
        for file in sorted((path / "attacks").glob("*/evaluation.json"))
      },
      passes=_read_csv(path / "adaptation.csv"),
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


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}


def _read_csv(path: pathlib.Path) -> list[Row]:
  if not path.is_file():
    return []
  with path.open(newline="") as file:
    return [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _value(text: str | None) -> float | str | None:
  if text is None or text == "":
    return None
  try:
    number = float(text)
  except ValueError:
    return text
  return number if math.isfinite(number) else None
