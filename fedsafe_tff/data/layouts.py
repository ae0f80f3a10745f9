"""What the folders above an image mean: part of a split, class, patient, site.

A layout is written as the folders are nested, such as `class`, `class/patient` or
`split/site/class`; folders deeper than it says mean nothing, `*` passes over one. `auto` guesses
from the names, and refuses when two readings are possible.
"""

import itertools
import re
from collections.abc import Sequence

from fedsafe_tff.errors import UserError

ROLES = ("split", "class", "patient", "site", "*")
SPLITS = {
  "train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
  "valid": "validation", "validation": "validation", "dev": "validation", "eval": "test",
}  # fmt: skip
_EXAMPLES = "class, class/patient, patient/class, site/class, site/class/patient, split/class"
_CLASS_WORDS = re.compile(
  r"(?i)(no|yes|y|n|neg|negative|pos|positive|normal|abnormal|healthy|control|sick|ill|diseased?|"
  r"benign|malignant|cancer|carcinoma|tumou?r|no_?tumou?r|glioma|meningioma|pituitary|adenoma|melanoma|"
  r"pneumonia|covid|covid[-_]?19|tuberculosis|tb|nodule|lesion|stage.*|grade.*|class.*|"
  r".*_tumou?r|0|1)"
)
_SITE_WORDS = re.compile(
  r"(?i)(.*(hospital|clinic|institut|cent(er|re)|scanner|university|campus|hosp).*|"
  r"sites?[-_ ]?\w*|umc\w*)"
)
_PATIENT_WORDS = re.compile(
  r"(?i)(patients?[-_ ]?\w+|pat[-_ ]?\d\w*|pt[-_ ]?\d\w*|subj(ect)?s?[-_ ]?\w+|sub-\w+|"
  r"cases?[-_ ]?\w+|participant\w*|p[-_]?\d+|tcga-.*|\d{3,})"
)
_MOST_CLASSES = 100


def parse(text: str) -> tuple[str, ...]:
  """The roles of a layout other than `auto`.

  Raises:
    UserError: An unknown role, one twice.
  """
  roles = tuple(role.strip() for role in text.strip("/").split("/"))
  named = [role for role in roles if role != "*"]
  if not named or set(named) - set(ROLES) or len(named) > len(set(named)):
    raise UserError(
      f"--layout={text}: expected auto or folders as they are nested, each once, of "
      f"{', '.join(ROLES)}, such as {_EXAMPLES}"
    )
  return roles


def guess(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
  """The roles of the folders above images.

  Args:
    folders: For each image, the names of the folders above it, from the top.

  Raises:
    UserError: Two readings are possible, or none.
  """
  distinct = sorted(set(folders))
  depth = min(map(len, distinct), default=0)
  levels = [{path[k] for path in distinct} for k in range(depth)]
  split = next((k for k, names in enumerate(levels) if _is_split(names)), None)
  if split is not None:
    rest = [path[:split] + path[split + 1 :] for path in distinct]
    inner = guess_without_split(rest)
    return (*inner[:split], *("*",) * (split - len(inner)), "split", *inner[split:])
  return guess_without_split(distinct)


def _is_split(names: set[str]) -> bool:
  meanings = {SPLITS.get(name.casefold()) for name in names}
  return None not in meanings and "train" in meanings and len(meanings) > 1


def guess_without_split(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
  """As `guess`, where no folder names a part of a split."""
  paths = sorted(set(folders))
  shallow, deep = min(map(len, paths), default=0), max(map(len, paths), default=0)
  if shallow == 0:
    return ()
  if deep == 1:
    told = [_kind(path[0]) for path in paths]
    for kind in ("site", "patient"):
      if told.count(kind) > len(told) / 2:
        raise UserError(
          f"the folders (such as {paths[0][0]}) look like {kind}s, and nothing names a class: give "
          "--metadata with labels, or --layout=class if they are classes"
        )
    return ("class",)
  if shallow == 1:
    # What lies deeper in some classes only can be no class; to take it for a patient joins more
    # than needed at worst.
    inner = {path[1] for path in paths if len(path) > 1}
    kinds = {_kind(name) for name in inner}
    if _kinds({path[0] for path in paths}) <= {"class", None} and "class" not in kinds:
      return ("class", "site" if kinds == {"site"} else "patient")
  levels = min(max(shallow, 2), 3)
  whole = [path[:levels] for path in paths if len(path) >= levels]
  readings = []
  for count in range(levels, 1, -1):  # an innermost folder may be a series, which says nothing
    for roles in itertools.permutations(("class", "patient", "site"), count):
      if "class" in roles and _possible(roles, [path[:count] for path in whole]):
        readings.append((*roles, *"*" * (levels - count)))
  told = [r for r in readings if _told(r, whole)]
  if told or len(readings) == 1:
    longest = [r for r in told if r.count("*") == told[0].count("*")] or readings
    if len(longest) == 1:
      return longest[0]
    readings = longest
  example = "/".join(paths[0])
  if not readings:
    raise UserError(
      f"the folders (such as {example}) fit no layout: give --layout, such as {_EXAMPLES}, or "
      "--metadata"
    )
  raise UserError(
    f"the folders (such as {example}) can be read as "
    + " or as ".join("/".join(roles) for roles in readings)
    + ": choose one with --layout"
  )


def _told(roles: tuple[str, ...], paths: Sequence[tuple[str, ...]]) -> bool:
  """Whether most names of every level are words for its role."""
  for level, role in enumerate(roles):
    names = {path[level] for path in paths}
    if role != "*" and sum(_kind(name) == role for name in names) <= len(names) / 2:
      return False
  return True


def _kind(name: str) -> str | None:
  if _CLASS_WORDS.fullmatch(name):
    return "class"
  if _PATIENT_WORDS.fullmatch(name):
    return "patient"
  return "site" if _SITE_WORDS.fullmatch(name) else None


def _kinds(names: set[str]) -> set[str | None]:
  return {_kind(name) for name in names}


def _possible(roles: tuple[str, ...], paths: Sequence[tuple[str, ...]]) -> bool:
  """Whether names and nesting allow a reading."""
  levels = [{path[k] for path in paths} for k in range(len(roles))]
  for role, names in zip(roles, levels):
    told = [_kind(name) for name in names]
    for kind in ("class", "patient", "site"):
      # One word may stand in any name; what most names say is what the folder means.
      if kind != role and told.count(kind) > len(names) / 2:
        return False
  place = roles.index("class")
  names = levels[place]
  if not 2 <= len(names) <= _MOST_CLASSES:
    return False
  if place and not _repeats(paths, place):
    return False  # classes are the same everywhere
  if "site" in roles and roles.index("site") > place and not _repeats(paths, roles.index("site")):
    return False  # a hospital with a single class: more likely a patient
  return True


def _repeats(paths: Sequence[tuple[str, ...]], level: int) -> bool:
  """Whether names at a level come under several parents, as classes and sites do."""
  parents: dict[str, set[tuple[str, ...]]] = {}
  for path in paths:
    parents.setdefault(path[level], set()).add(path[:level])
  alone = len({path[:level] for path in paths}) == 1
  return alone or any(len(found) > 1 for found in parents.values())


def apply(roles: tuple[str, ...], folders: tuple[str, ...]) -> dict[str, str]:
  """Role to name for one image; roles that lie deeper than the image are missing."""
  return {role: name for role, name in zip(roles, folders) if role != "*"}
