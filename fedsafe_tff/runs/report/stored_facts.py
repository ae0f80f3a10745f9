"""What the files of a run folder must look like before anything is drawn from them.

A run folder may be damaged, or a stranger's. What pages and tables take out of it is checked here
in one place, and named: file, field, what stands there and what was expected.
"""

import csv
import io
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from fedsafe_tff.errors import UserError

Row = dict[str, Any]

_MOST_BYTES = 512 * 2**20  # of a table: a run of 1,000 rounds and 1,000 clients has 60 MiB
_MOST_CLIENTS = 1_000_000


class Maybe:
  """A value that may be missing or null."""

  def __init__(self, shape: Any):
    self.shape = shape


class Each:
  """A dictionary whose keys are anybody's and whose values are of one shape."""

  def __init__(self, shape: Any):
    self.shape = shape


class Pair:
  """A list of two values."""

  def __init__(self, shape: Any):
    self.shape = shape


NUMBER, TEXT, FLAG, ANY = "a number", "text", "true or false", "anything"
_RATES = (
  "clean_accuracy", "asr_self", "asr_avg", "asr_self_correct", "asr_avg_correct",
  "attack_accuracy_self", "attack_accuracy_avg", "random_noise_flip_rate", "zero_gradient_share",
)  # fmt: skip
_RESULT = {"attacker": Maybe(TEXT), "attack": TEXT, "eps": NUMBER} | {
  name: Maybe(NUMBER) for name in (*_RATES, "sampled_clients", "of_clients", "queries")
} | {"intervals": Maybe(Each(Pair(NUMBER)))}
_STRATA = ("accuracy", "asr_self", "asr_avg", "attack_accuracy_self", "attack_accuracy_avg")
_STRATUM = {"attack": TEXT, "eps": NUMBER, "site": ANY, "count": NUMBER} | {
  f"{name}{end}": Maybe(NUMBER) for name in _STRATA for end in ("", "_low", "_high")
}
_COUNTED = {
  "name": ANY, "images": NUMBER, "groups": NUMBER, "patients": Maybe(NUMBER), "by_class": [NUMBER],
}  # fmt: skip
_INVENTORY = {"left_out": Maybe([Pair(TEXT)]), "windows": Maybe(Each([NUMBER]))}
_PRIVATE = {
  "mechanism": TEXT, "level": TEXT, "adjacency": TEXT, "observer": TEXT, "by": TEXT,
  "epsilon": Maybe(NUMBER), "delta": NUMBER, "guarantees": FLAG, "not_covered": Maybe([TEXT]),
  "warnings": Maybe([TEXT]),
}  # fmt: skip
_CERTIFIED = {
  "name": TEXT, "model": TEXT, "digest": TEXT, "images": NUMBER, "clean_accuracy": NUMBER,
  "n0": NUMBER, "n": NUMBER, "alpha": NUMBER,
  "sigmas": [
    {
      "sigma": NUMBER, "abstained": NUMBER,
      "radii": [
        {
          "l2": NUMBER, "linf": NUMBER, "certified_accuracy": NUMBER,
          "interval": Maybe(Pair(NUMBER)),
        }
      ],
    }
  ],
}  # fmt: skip
SHAPES = {
  "config.json": {
    "defense": Maybe(TEXT), "algorithm": Maybe(TEXT), "dataset": Maybe(TEXT), "task": Maybe(TEXT),
    "seed": Maybe(NUMBER), "num_clients": Maybe(NUMBER), "rounds": Maybe(NUMBER),
  },
  "manifest.json": {
    "command": Maybe([TEXT]),
    "privacy": Maybe([TEXT]),
    "seconds_of_last_session": Maybe(NUMBER),
    "copies_seconds": Maybe(NUMBER),
    "git_commit": Maybe(TEXT),
    "data_hash": Maybe(TEXT),
    "identity": Maybe(TEXT),
    "threads": Maybe(NUMBER),
    "data": Maybe(
      {
        "class_names": Maybe([TEXT]),
        "shape": Maybe([NUMBER]),
        "parts": Maybe(Each(NUMBER)),
        "inventory": Maybe(_INVENTORY),
      }
    ),
  },
  "partition.json": {"clients": [[NUMBER]], "class_names": [TEXT], "sites": Maybe([TEXT])},
  "survey.json": {
    "images": NUMBER, "shape": [NUMBER], "groups": NUMBER, "patients": Maybe(NUMBER),
    "inventory": Maybe(
      {"files_found": NUMBER, "files_loaded": NUMBER, "images": NUMBER, "litter": NUMBER,
       "left_out": [Pair(TEXT)], "layout": Maybe(TEXT), "empty_slices": Maybe(NUMBER)}
    ),
    "classes": [_COUNTED], "sites": Maybe([_COUNTED]), "kinds": Maybe([_COUNTED]),
    "sizes": [{"name": ANY, "images": NUMBER}], "belonging": Maybe([TEXT]),
    "shortcuts": Maybe(
      [{"name": ANY, "accuracy": NUMBER, "majority": NUMBER, "classes_alike": NUMBER, "warns": ANY}]
    ),
    "pictures": [Pair(TEXT)],
  },
  "privacy.json": {"rounds": NUMBER, "planned_rounds": NUMBER, "now": _PRIVATE},
  "audit.json": {
    "membership": Maybe(
      [{"model": TEXT, "attack": TEXT, "auc": NUMBER, "low": NUMBER, "high": NUMBER}]
    ),
    "inversion": Maybe([{"images": NUMBER, "ssim": NUMBER, "control": NUMBER}]),
    "one_run": Maybe({"sentence": TEXT}),
  },
  "certificates.json": {"models": [_CERTIFIED]},
  "evaluation.json": {
    "evaluation": Maybe(TEXT),
    "clean_accuracy_global": Maybe(NUMBER),
    "clean_accuracy_clients": Maybe([Maybe(NUMBER)]),
    "attacked_images": Maybe(NUMBER),
    "majority_class": Maybe(NUMBER),
    "trivial_baselines": Maybe(Each(NUMBER)),
    "result_versions": Maybe(Each(ANY)),
    "results": [_RESULT],
    "trials": Maybe([_RESULT]),
    "worst_case": Maybe([_RESULT]),
    "strata": Maybe([_STRATUM]),
    "notes": Maybe(Each(TEXT)),
    "left_out": Maybe(Each(TEXT)),
    "masking": Maybe(
      {
        "passed": Maybe(FLAG),
        "text": Maybe(TEXT),
        "checks": Maybe([{"name": TEXT, "passed": Maybe(FLAG), "text": TEXT}]),
      }
    ),
  },
}  # fmt: skip

_EACH_PASS = (
  "round", "pass", "new_examples", "retraining_risk", "adversarial_risk",
)  # fmt: skip
# Columns that must hold a number in every row; all others may be empty, and hold numbers or nothing
# unless they are named in `_TEXTS`.
_NEEDED = {
  "metrics.csv": ("round",),
  "clients.csv": ("round", "client"),
  "transfer_matrix.csv": ("eps", "adversary", "victim"),
  "images.csv": ("image", "eps"),
  "adaptation.csv": _EACH_PASS,
}
_TEXTS = ("attacker", "attack")


def read_json(path: pathlib.Path, name: str = "") -> dict[str, Any]:
  """A file of a run folder; empty where there is none.

  Args:
    path: The file.
    name: Its key in `SHAPES`; "" for the file's own name.

  Raises:
    UserError: It is damaged, or holds something else than a run writes there.
  """
  try:
    text = path.read_text(encoding="utf-8")
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise _damaged(path, getattr(error, "strerror", None) or "it is no text") from None
  try:
    value = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise _damaged(path, f"it is no JSON: {str(error)[:100]}") from None
  if not isinstance(value, dict):
    raise _damaged(path, f"it holds {_found(value)} where a run writes fields")
  if value:
    _check(path, value, SHAPES[name or path.name], "")
  return value


def _check(path: pathlib.Path, value: Any, shape: Any, where: str) -> None:
  if isinstance(shape, Maybe):
    if value is not None:
      _check(path, value, shape.shape, where)
  elif isinstance(shape, dict):
    _expect(path, isinstance(value, Mapping), value, "fields", where)
    for name, inner in shape.items():
      _check(path, value.get(name), inner, f"{where}.{name}" if where else name)
  elif isinstance(shape, Each):
    _expect(path, isinstance(value, Mapping), value, "fields", where)
    for name, inner in value.items():
      _check(path, inner, shape.shape, f"{where}.{str(name)[:40]}")
  elif isinstance(shape, Pair):
    _expect(path, isinstance(value, list) and len(value) == 2, value, "two entries", where)
    for number, inner in enumerate(value):
      _check(path, inner, shape.shape, f"{where}[{number}]")
  elif isinstance(shape, list):
    _expect(path, isinstance(value, list), value, "a list", where)
    for number, inner in enumerate(value):
      _check(path, inner, shape[0], f"{where}[{number}]")
  elif shape == NUMBER:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    _expect(path, fits and abs(value) < 2**63 and math.isfinite(value), value, shape, where)
  elif shape == TEXT:
    _expect(path, isinstance(value, str), value, shape, where)
  elif shape == FLAG:
    _expect(path, isinstance(value, bool), value, shape, where)


def _expect(path: pathlib.Path, fits: bool, value: Any, what: str, where: str) -> None:
  if not fits:
    raise _damaged(path, f"{where} is {_found(value)}, expected {what}")


def _found(value: Any) -> str:
  if isinstance(value, dict | list):
    return "fields" if isinstance(value, dict) else "a list"
  return "missing" if value is None else repr(value)[:40]


def _damaged(path: pathlib.Path, why: str) -> UserError:
  return UserError(f"{path} is damaged ({why}): restore it, or run again in another --run_dir")


def read_csv(path: pathlib.Path) -> list[Row]:
  """The rows of a table of a run folder, numbers as such; none where there is no such file.

  Raises:
    UserError: It is damaged: no text, a row of another length, a number missing.
  """
  try:
    with path.open("rb") as file:
      data = file.read(_MOST_BYTES + 1)
  except FileNotFoundError:
    return []
  except OSError as error:
    raise _damaged(path, error.strerror) from None
  return parse_csv(path, data)


def parse_csv(path: pathlib.Path, data: bytes) -> list[Row]:
  """The same of what such a file holds; raises as `read_csv`."""
  if len(data) > _MOST_BYTES:
    raise _damaged(path, f"it has more than {_MOST_BYTES} bytes")
  try:
    reader = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    rows = [{k: _value(v) for k, v in row.items()} for row in reader]
    columns = reader.fieldnames or ()
  except (UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
    raise _damaged(path, f"it is no table: {str(error)[:100]}") from None
  needed = _NEEDED.get(path.name, ())
  for number, row in enumerate(rows, 2):
    if None in row:
      raise _damaged(path, f"row {number} has more cells than the heading")
    for name in columns:
      value = row[name]
      if name in needed and not isinstance(value, float):
        raise _damaged(path, f"{name} in row {number} is {_found(value)}, expected a number")
      if name not in _TEXTS and isinstance(value, str):
        raise _damaged(path, f"{name} in row {number} is {_found(value)}, expected a number")
      if name in _TEXTS and not isinstance(value, str):
        raise _damaged(path, f"{name} in row {number} is {_found(value)}, expected a name")
    for name in ("adversary", "victim", "client"):
      if name in row and not 0 <= row[name] < _MOST_CLIENTS:
        raise _damaged(path, f"{name} in row {number} is {row[name]:g}, which no client is")
  absent = [name for name in needed if name not in columns]
  if rows and absent:
    raise _damaged(path, f"it has no column {absent[0]}")
  return rows


def _value(text: str | None) -> float | str | None:
  if text is None or text == "":
    return None
  if isinstance(text, list):
    raise ValueError("a row has more cells than the heading")
  try:
    number = float(text)
  except ValueError:
    return text
  return number if math.isfinite(number) else None
