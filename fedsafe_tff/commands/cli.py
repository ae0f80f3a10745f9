"""The command `fedsafe NAME`: every program of the project under one name."""

import ast
import difflib
import importlib
import pathlib
import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main as main_lib
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.flags import presets

_NO_COMMANDS = ("__init__", "cli", "main", "sweeping")
_HELP = ("--help", "-h", "help")


def names() -> dict[str, str]:
  """What may stand after `fedsafe`, each with its first line of help; nothing is imported."""
  found = {}
  for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
    if path.stem not in _NO_COMMANDS:
      doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
      found[path.stem] = doc.splitlines()[0] if doc else ""
  return found


def help_text() -> str:
  """All names, and the presets."""
  known = names()
  width = max(map(len, known))
  lines = ["fedsafe NAME [--flag=value ...]; fedsafe NAME --help tells more", ""]
  lines += [f"  {name:{width}}  {line}" for name, line in known.items()]
  lines += ["", f"presets of train: {', '.join(presets.names())}"]
  lines += [f"presets of tables and figures: {', '.join(presets.names('sweep'))}"]
  return "\n".join(lines)


def fedsafe(arguments: Sequence[str]) -> int | None:
  """Runs one command; returns its exit code.

  Raises:
    UserError: There is no command of that name.
  """
  if not arguments or arguments[0] in _HELP:
    print(help_text())
    return 0
  name, *rest = arguments
  known = names()
  if name not in known:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"
    raise UserError(f"fedsafe {name} is unknown: {hint}")
  module = importlib.import_module(f"fedsafe_tff.commands.{name}")
  return getattr(module, name)(rest)


def main() -> None:
  """The entry point; leaves with the command's exit code."""
  main_lib.run(fedsafe)


if __name__ == "__main__":
  sys.exit(main())
