"""A user's own images: folders whose meaning is guessed or given, or a table of metadata."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from fedsafe_tff.data import inventory, layouts, metadata
from fedsafe_tff.data.formats.frame import pseudonym
from fedsafe_tff.data.formats.opening import shown
from fedsafe_tff.data.formats.registry import looks_like_image
from fedsafe_tff.data.image_files import (
  ImageFile,
  Listing,
  Options,
  names_in,
  read_files,
  require_folder,
)
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.inventory import Found, FoundFile
from fedsafe_tff.data.spec import DataSpec, Meaning
from fedsafe_tff.errors import UserError

LAYOUT = "a folder per class, or see docs/data.md"
DEFAULT_SIZE = 100
_NO_CLASS = "no folder or table says its class"


def load(data_dir: str, *, options: Options, meaning: Meaning = Meaning()) -> ImageSet:
  """Reads a folder; gray where every image is gray, else RGB.

  Raises:
    UserError: Two readings of the folders are possible, fewer than two classes, an empty class, an
      unreadable image.
  """
  root = require_folder(data_dir, LAYOUT)
  found = inventory.walk(root)
  told, how, left_out = _tell(root, found, meaning)
  if not told and len(found.empty) > 1:
    raise UserError(f"{root.joinpath(*found.empty[0])} holds no images: expected {LAYOUT}")
  classes = sorted({roles["class"] for roles in told.values()})
  if len(classes) < 2:
    raise UserError(
      f"{root} has {len(classes)} class folders, at least 2 are needed: expected {LAYOUT}, found "
      + names_in(root)
    )
  _check_parts(root, told, classes)
  label = {name: number for number, name in enumerate(classes)}
  files = []
  for number, roles in sorted(told.items()):
    part = layouts.SPLITS.get(roles.get("split", "").casefold())
    files.append(
      ImageFile(
        path=found.files[number].path,
        name=found.files[number].name,
        label=label[roles["class"]],
        test=part == "test",
        validation=part == "validation",
        patient=roles.get("patient", ""),
        site=shown(roles.get("site", "")),
      )
    )
  # Files of one part and class together, as they always were: a seed draws by position.
  files.sort(key=lambda file: (file.test, file.validation, file.label))
  image_set = read_files(
    Listing(tuple(files), (*found.left_out, *left_out), found.litter),
    class_names=[shown(name) for name in classes],
    channels=None,
    options=dataclasses.replace(options, image_size=options.image_size or DEFAULT_SIZE),
    facts={"layout": how},
  )
  if image_set.published_test is None or not image_set.published_test.any():
    image_set = dataclasses.replace(image_set, published_test=None)
  return image_set


Told = dict[int, dict[str, str]]


def from_spec(spec: DataSpec, options: Options) -> ImageSet:
  """Loads what a spec says; see `load`."""
  return load(spec.data_dir, options=options, meaning=spec.meaning)


def _tell(root: pathlib.Path, found: Found, meaning: Meaning):
  """Roles of every file that has a class, how they were told, and (name, reason) of the others."""
  files = found.files
  table, how = None, []
  csv_file = meaning.metadata
  images = [file for file in files if looks_like_image(file.path)]
  if not csv_file and meaning.layout == "auto" and images:
    # Images without folders of classes, and one table beside them that names files and labels.
    tables = [f for f in files if len(f.parts) == 1 and f.parts[0].lower().endswith(".csv")]
    tables = [f for f in tables if metadata.usable(f.path)]
    if len(tables) == 1 and len({f.parts[:-1] for f in images}) == 1:
      csv_file = str(tables[0].path)
  if csv_file:
    table = metadata.read(csv_file, metadata.columns(meaning.columns), files, root)
    known = ", ".join(sorted(table.roles))
    how.append(f"metadata of {shown(pathlib.Path(csv_file).name)} ({known})")
    if table.missing:
      raise UserError(
        f"{len(table.missing)} rows of {csv_file} name no file below {root}, or one that occurs "
        f"twice; the first is {shown(table.missing[0])!r}: correct them, or give --data_dir of "
        "their folder"
      )
  roles = ()
  if table is None or "label" not in table.roles or meaning.layout != "auto":
    roles = _roles(root, found, images, meaning.layout)
    how.append("/".join(roles) + (" (guessed)" if meaning.layout == "auto" else ""))
  pattern = _pattern(meaning.patient_pattern)
  shows = {file.parts for file in images}
  told: Told = {}
  left_out = []
  for number, file in enumerate(files):
    here = layouts.apply(roles, file.parts[:-1])
    row = table.rows.get(number) if table is not None else None
    if row:
      here |= {("class" if k == "label" else k): v for k, v in row.items() if v and k != "file"}
    if pattern is not None and "patient" not in here:
      match = pattern.search("/".join(file.parts))
      if match:
        here["patient"] = next((g for g in match.groups() if g), match.group())
    is_image = file.parts in shows
    if table is not None and "label" in table.roles and row is None:
      here.pop("class", None)
    if "class" not in here or not is_image:
      reason = "it has no row in the metadata" if table is not None else _NO_CLASS
      if csv_file and file.path == pathlib.Path(csv_file):
        reason = "it is the metadata"
      elif not is_image:
        reason = "it is not an image"
      left_out.append((file.name, reason))
      continue
    if "split" in here and here["split"].casefold() not in layouts.SPLITS:
      left_out.append((file.name, "its folder is not a part of the split"))
      continue
    if here.get("patient"):
      # Folders are numbered anew in every hospital; a table's ids hold everywhere.
      local = "site" in roles and "patient" in roles and not (row and row.get("patient"))
      here["patient"] = pseudonym(*([here["site"]] if local else []), here["patient"])
    told[number] = here
  return told, "; ".join(how), left_out


def _roles(
  root: pathlib.Path, found: Found, images: Sequence[FoundFile], layout: str
) -> tuple[str, ...]:
  above = [file.parts[:-1] for file in images]
  if layout != "auto":
    roles = layouts.parse(layout)
  else:
    # Images beside the class folders say nothing of the folders; they are named as left out.
    roles = layouts.guess([path for path in above if path] or above)
  if "class" in roles:
    place = roles.index("class")
    for parts in found.empty:
      if len(parts) == place + 1:
        raise UserError(f"{root.joinpath(*parts)} holds no images: expected {LAYOUT}")
  return roles


def _pattern(text: str) -> re.Pattern[str] | None:
  try:
    return re.compile(text) if text else None
  except re.error as error:
    raise UserError(f"--patient_pattern={text} is no regular expression ({error})") from None


def _check_parts(root: pathlib.Path, told: Told, classes: Sequence[str]) -> None:
  """A class that is tested must be learnt."""
  seen: dict[str, set[str]] = {}
  for roles in told.values():
    part = layouts.SPLITS.get(roles.get("split", "").casefold(), "train")
    seen.setdefault(part, set()).add(roles["class"])
  for part in sorted(seen):
    extra = sorted(seen[part] - seen.get("train", set()))
    if extra and part != "train":
      raise UserError(
        f"{root}: the {part} part has classes that train lacks: {', '.join(extra[:6])}; expected "
        "the same classes in both"
      )
