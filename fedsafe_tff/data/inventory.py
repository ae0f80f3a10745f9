"""Every file under a folder: what is looked at, what is litter, what came of each."""

import dataclasses
import os
import pathlib
import stat
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.data.files import changed_at
from fedsafe_tff.data.formats.opening import shown

LITTER = ("thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "icon\r")


@dataclasses.dataclass(frozen=True)
class FoundFile:
  """A file under the folder: its path, and its parts relative to the folder."""

  path: pathlib.Path
  parts: tuple[str, ...]

  @property
  def name(self) -> str:
    """Its name in logs and reports."""
    return shown("/".join(self.parts))


@dataclasses.dataclass(frozen=True)
class Found:
  """What a walk found.

  Attributes:
    files: All files but litter, by name.
    left_out: (name, reason) of what could not be entered.
    litter: How many hidden and system files and folders were passed over.
    empty: Parts of the folders that hold nothing.
  """

  files: tuple[FoundFile, ...]
  left_out: tuple[tuple[str, str], ...]
  litter: int
  empty: tuple[tuple[str, ...], ...]


def is_litter(name: str) -> bool:
  """Hidden files, and what file managers leave behind."""
  return name.startswith(".") or name.casefold() in LITTER


def walk(root: str | os.PathLike) -> Found:
  """Lists a folder with all below it, links to folders included; nothing is opened."""
  files: list[FoundFile] = []
  left_out: list[tuple[str, str]] = []
  empty: list[tuple[str, ...]] = []
  litter = 0

  def enter(folder: pathlib.Path, parts: tuple[str, ...], above: frozenset[tuple[int, int]]):
    nonlocal litter
    try:
      entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
      left_out.append((shown("/".join(parts)), f"the folder can't be listed ({error.strerror})"))
      return
    inside = 0
    for entry in entries:
      if is_litter(entry.name):
        litter += 1
        continue
      inside += 1
      here = (*parts, entry.name)
      try:
        is_folder = entry.is_dir()
      except OSError:
        is_folder = False
      if not is_folder:
        files.append(FoundFile(pathlib.Path(entry.path), here))
        continue
      facts = entry.stat()
      identity = (facts.st_dev, facts.st_ino)
      if identity in above:
        left_out.append((shown("/".join(here)), "the link leads back to a folder above it"))
        continue
      enter(pathlib.Path(entry.path), here, above | {identity})
    if not inside:
      empty.append(parts)

  root = pathlib.Path(root)
  facts = root.stat()
  enter(root, (), frozenset({(facts.st_dev, facts.st_ino)}))
  files.sort(key=lambda file: file.parts)
  return Found(tuple(files), tuple(left_out), litter, tuple(empty))


def stamp(root: pathlib.Path) -> list[tuple[str, int, int, int]]:
  """Name, size in bytes and times of every file but litter: what a cache is keyed by."""
  stamps = []
  for file in walk(root).files:
    try:
      facts = file.path.stat()
    except OSError:  # a link that leads nowhere
      stamps.append((file.name, -1, 0, 0))
    else:
      size, *times = changed_at(facts)
      stamps.append((file.name, size if stat.S_ISREG(facts.st_mode) else -2, *times))
  return stamps


def facts(
  *,
  found: int,
  loaded: int,
  images: int,
  left_out: Sequence[tuple[str, str]],
  litter: int = 0,
  **more: Any,
) -> dict[str, Any]:
  """The inventory as it is stored and reported; found = loaded + left out, else a bug.

  Args:
    found: Files under the folder, litter not among them.
    loaded: Files that gave images.
    images: Images that they gave.
    left_out: (name, reason) of every other one.
    litter: Hidden and system files passed over.
    **more: Other facts, such as the layout and the windows.
  """
  if found != loaded + len(left_out):
    raise AssertionError(f"{found} files found, {loaded} loaded and {len(left_out)} left out")
  return {
    "files_found": found,
    "files_loaded": loaded,
    "images": images,
    "left_out": [list(entry) for entry in left_out],
    "litter": litter,
    **more,
  }


def sentences(inventory: dict[str, Any], most: int = 3) -> list[str]:
  """The inventory in words, for the log."""
  if not inventory:
    return []
  lines = [
    f"{inventory['files_found']} files found: {inventory['files_loaded']} loaded as "
    f"{inventory['images']} images, {len(inventory['left_out'])} left out"
    + (f"; {inventory['litter']} hidden or system files passed over" * bool(inventory["litter"]))
  ]
  reasons: dict[str, list[str]] = {}
  for name, reason in inventory["left_out"]:
    reasons.setdefault(reason, []).append(name)
  for reason, names in reasons.items():
    more = ", ..." if len(names) > most else ""
    lines.append(f"left out {len(names)}, {reason}: {', '.join(names[:most])}{more}")
  if inventory.get("empty_slices"):
    lines.append(f"{inventory['empty_slices']} empty slices left out")
  if inventory.get("layout"):
    lines.append(f"layout: {inventory['layout']}")
  windows = inventory.get("windows", {})
  for series, (low, high) in list(windows.items())[:most]:
    lines.append(f"window of {series}: {low:g} is black, {high:g} white")
  if len(windows) > most:
    lines.append(f"{len(windows) - most} more windows stand in the manifest")
  return lines
