"""What the report says of certificates."""

import base64
import pathlib
from typing import Any

from fedsafe_tff.data import sums
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report import stored_facts

FOLDER = "certificates"
HEADINGS = ("sigma", "L2 radius", "L-infinity within", "certified accuracy (95 %)", "undecided")


def stored(path: pathlib.Path, damaged: list[str] | None = None) -> list[dict[str, Any]]:
  """The entries of a run's `certificates.json`, one for each model and setting.

  Args:
    path: The run folder.
    damaged: Takes the file's name where it is damaged, and nothing is read; None makes it an error.

  Raises:
    UserError: It is damaged, and `damaged` is None.
  """
  file = path / FOLDER / "certificates.json"
  try:
    if file.is_file():
      sums.check(file)
    return stored_facts.read_json(file).get("models", [])
  except UserError:
    if damaged is None:
      raise
    damaged.append(f"{FOLDER}/{file.name}")
    return []


def _share(share: float, ends: list[float] | None) -> str:
  return f"{share:.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")


def sections(path: pathlib.Path, damaged: list[str] | None = None) -> list[dict[str, Any]]:
  """Facts, table and picture of each entry; see `stored`."""
  made = []
  for one in stored(path, damaged):
    rows = [
      [
        f"{sigma['sigma']:g}", f"{row['l2']:g}", f"{row['linf']:.2g}",
        _share(row["certified_accuracy"], row.get("interval")),
        f"{sigma['abstained']:.3f}",
      ]
      for sigma in one["sigmas"]
      for row in sigma["radii"]
    ]  # fmt: skip
    picture = path / FOLDER / f"{pathlib.PurePath(one['name']).name}.png"
    data = base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None
    made.append({"facts": one, "rows": rows, "picture": data})
  return made
