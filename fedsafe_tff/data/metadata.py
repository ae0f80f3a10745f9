"""A table that says of files what they show and whom they belong to.

A CSV file with a header: `file`, and any of `label`, `patient`, `site`, `split`. Other names of the
columns are found where they are usual, and given with `--columns=file=NAME,label=NAME` elsewhere.
Files are named relative to the image folder, or by a name (with or without ending) that occurs once
in it. Cells are data: nothing of them is run or taken for a path outside of the folder.
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

from fedsafe_tff.data.formats.frame import Unreadable
from fedsafe_tff.data.formats.opening import open_regular, suffix_of
from fedsafe_tff.data.formats.registry import claims_image
from fedsafe_tff.data.inventory import FoundFile
from fedsafe_tff.data.layouts import SPLITS
from fedsafe_tff.errors import UserError

USUAL = {
  "file": (
    "file",
    "filename",
    "file_name",
    "path",
    "image",
    "image_path",
    "image_id",
    "id",
    "name",
  ),
  "label": ("label", "class", "target", "diagnosis", "dx", "finding"),
  "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "case_id", "wsi"),
  "site": ("site", "hospital", "center", "centre", "institution", "clinic"),
  "split": ("split", "part", "subset", "partition"),
}
_MAX_BYTES = 512 * 2**20


@dataclasses.dataclass(frozen=True)
class Table:
  """The rows of a metadata file, by the number of the file that each is about.

  Attributes:
    rows: File number to role to cell.
    roles: The roles that have a column.
    missing: Names in the table that no file has.
  """

  rows: dict[int, dict[str, str]]
  roles: frozenset[str]
  missing: tuple[str, ...]


def columns(text: str) -> dict[str, str]:
  """Parses `--columns`, role to the name of its column.

  Raises:
    UserError: Not role=name.
  """
  found = {}
  for part in filter(None, text.split(",")):
    role, _, name = part.partition("=")
    if role.strip() not in USUAL or not name.strip():
      raise UserError(f"--columns={text}: expected ROLE=NAME,..., with roles of {', '.join(USUAL)}")
    found[role.strip()] = name.strip()
  return found


def usable(path: pathlib.Path) -> bool:
  """Whether a CSV names files and labels by itself, as Kaggle's `train_labels.csv` does."""
  try:
    with open_regular(path) as file:
      header = file.readline(65536).decode("utf-8-sig", "replace")
  except Unreadable:
    return False
  try:
    names = {name.strip().casefold() for name in next(csv.reader([header]), [])}
  except csv.Error:
    return False
  return all(names & set(USUAL[role]) for role in ("file", "label"))


def read(
  path: str, chosen: dict[str, str], files: Sequence[FoundFile], root: pathlib.Path
) -> Table:
  """Reads a metadata file.

  Args:
    path: The CSV file.
    chosen: Role to the name of its column, where given.
    files: The files that its rows may be about.
    root: The image folder.

  Raises:
    UserError: It can't be read, lacks a column, or says two things of one file.
  """
  try:
    with open_regular(path) as file:
      raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
      raise Unreadable(f"it is larger than {_MAX_BYTES} bytes")
    text = raw.decode("utf-8-sig")
    sample = text[:4096]
    dialect = "excel-tab" if sample.count("\t") > sample.count(",") else "excel"
    delimiter = ";" if sample.count(";") > max(sample.count(","), sample.count("\t")) else None
    extra = {"delimiter": delimiter} if delimiter else {}
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect, **extra)
    names = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = names
    rows = list(reader)
  except (Unreadable, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"--metadata={path} can't be read ({error}): expected a CSV file") from None
  place = _columns(path, names, chosen)
  found: dict[int, dict[str, str]] = {}
  missing = []
  match = _Matcher(files, root)
  for row in rows:
    cells = {role: (row.get(name) or "").strip() for role, name in place.items()}
    number = match(cells["file"])
    if number is None:
      missing.append(cells["file"])
      continue
    if found.setdefault(number, cells) != cells:
      raise UserError(f"--metadata={path} says two things of {files[number].name}: leave one")
    if cells.get("split") and cells["split"].casefold() not in SPLITS:
      raise UserError(
        f"--metadata={path} has split {cells['split'][:40]!r}: expected train, validation or test"
      )
  return Table(found, frozenset(place) - {"file"}, tuple(missing))


def _columns(path: str, names: Sequence[str], chosen: dict[str, str]) -> dict[str, str]:
  lower = {name.casefold(): name for name in reversed(names)}
  place = {}
  for role, usual in USUAL.items():
    if role in chosen:
      if chosen[role] not in names:
        raise UserError(
          f"--columns: {path} has no column {chosen[role]}, only {', '.join(names[:20])}"
        )
      place[role] = chosen[role]
    else:
      name = next((lower[name] for name in usual if name in lower), None)
      if name is not None and name not in chosen.values():
        place[role] = name
  if "file" not in place:
    raise UserError(
      f"--metadata={path} has no column of file names, only {', '.join(names[:20]) or 'nothing'}: "
      "say which it is, --columns=file=NAME"
    )
  return place


class _Matcher:
  """Finds the file that a cell names."""

  def __init__(self, files: Sequence[FoundFile], root: pathlib.Path):
    self._whole = {"/".join(file.parts): i for i, file in enumerate(files)}
    self._root = str(root).rstrip("/") + "/"
    self._last: dict[str, int | None] = {}
    for i, file in enumerate(files):
      whole = file.parts[-1]
      # A sidecar beside an image has its stem too, and is none.
      stems = {whole[: -len(suffix_of(whole))]} if claims_image(whole) else set()
      for name in {whole, *stems}:
        # A name that occurs twice tells nothing.
        self._last[name] = None if name in self._last else i

  def __call__(self, cell: str) -> int | None:
    cell = cell.replace("\\", "/")
    cell = cell.removeprefix(self._root).removeprefix("./")
    if cell in self._whole:
      return self._whole[cell]
    name = cell.rsplit("/", 1)[-1]
    return self._last.get(name)
