"""Presets by name: files of flags, which travel inside the installed package."""

import pathlib

from fedsafe_tff.errors import UserError

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]


def folder() -> pathlib.Path:
  """Where the presets are: in the installed package, or in a checkout's `flags/presets`."""
  installed = _PACKAGE / "presets"
  return installed if installed.is_dir() else _PACKAGE.parent / "flags" / "presets"


def names(kind: str = "") -> list[str]:
  """Names of the presets of runs, or of `kind` "sweep": tables and figures."""
  return sorted(path.stem for path in (folder() / kind).glob("*.flags"))


def find(name: str, kind: str = "") -> pathlib.Path:
  """The file of a preset.

  Raises:
    UserError: There is none of that name.
  """
  path = folder() / kind / f"{name}.flags"
  if name not in names(kind):
    raise UserError(f"preset {name!r} is unknown: choose one of {', '.join(names(kind))}")
  return path
