"""A user's own code, named by a flag: `PATH/file.py:function` or `package.module:function`.

Its name does not say what it is: the function behind it may be another one tomorrow, or in another
folder. So its sources are hashed: the module's, and those of the user's modules that it imports.
"""

import ast
import importlib
import importlib.util
import inspect
import pathlib
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff.errors import UserError

_OURS = __name__.partition(".")[0]
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def load_function(
  name: str, *, flag: str, choices: str, takes: str, arguments: Sequence[Any]
) -> tuple[types.ModuleType, Callable[..., Any]]:
  """The user's module and function.

  Args:
    name: See above.
    flag: Name of the flag.
    choices: What else it takes, in words.
    takes: What the function takes, in words.
    arguments: Arguments that it must be able to take.

  Raises:
    UserError: Whatever the module raises while it is loaded, in one line.
  """
  source, _, function_name = name.rpartition(":")
  try:
    if source.endswith(".py"):
      module = _module_of(pathlib.Path(source))
    elif _package(source) in sys.stdlib_module_names:  # before it is imported: that runs it
      raise ValueError(f"{source} is of Python's own library")
    else:
      module = importlib.import_module(source)
    function = getattr(module, function_name)
    if _package(getattr(function, "__module__", None) or "") in sys.stdlib_module_names:
      raise ValueError(f"{function_name} there is of Python's own library")
    inspect.signature(function).bind(*arguments)
  except (Exception, SystemExit) as error:
    said = " ".join(str(error).split()) or type(error).__name__
    raise UserError(
      f"--{flag}={name} can't be loaded ({said}): give {choices}, an importable "
      f"package.module:function or PATH/file.py:function, where function takes {takes}"
    ) from None
  return module, function


def call(function: Callable[..., Any], arguments: Sequence[Any], *, flag: str, name: str) -> Any:
  """What a user's function returns.

  Args:
    function: As `load_function` gives it.
    arguments: What it is called with.
    flag: Name of the flag that named it.
    name: The flag's value.

  Raises:
    UserError: It raised; the line of its source is named.
  """
  try:
    return function(*arguments)
  except (UserError, MemoryError):
    raise
  except (Exception, SystemExit) as error:
    frames = traceback.extract_tb(error.__traceback__)[1:]  # without this one
    own = [frame for frame in frames if frame.filename == inspect.getfile(function)]
    where = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    said = " ".join(str(error).split())
    raise UserError(
      f"--{flag}={name} fails{where} ({type(error).__name__}{': ' if said else ''}{said})"
    ) from error


def short_name(name: str) -> str:
  """A name without its folders."""
  source, colon, function = name.rpartition(":")
  return f"{pathlib.PurePath(source).name}{colon}{function}" if source.endswith(".py") else name


def _module_of(path: pathlib.Path) -> types.ModuleType:
  """Runs a Python file as a module; it may import its neighbours."""
  path = path.expanduser().resolve()
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  sys.path.insert(0, str(path.parent))
  # While it runs it is known by its name, where nothing else has that: dataclasses look there.
  known = sys.modules.setdefault(spec.name, module)
  try:
    spec.loader.exec_module(module)
  finally:
    sys.path.remove(str(path.parent))
    if known is module:
      sys.modules.pop(spec.name, None)
  return module


def with_sources(digest: Any, module: types.ModuleType) -> str:
  """The digest, as hex, of what it holds and of a user's module with all that this one imports."""
  for file, source in sorted(_sources(module).items()):
    digest.update(f"/{file} {len(source)} ".encode())
    digest.update(source)
  return digest.hexdigest()


def _sources(root: types.ModuleType) -> dict[str, bytes]:
  """Contents by name of a module and of all that it imports and that is not installed."""
  found: dict[str, bytes] = {}
  todo = _with_parents(root.__name__)
  while todo:
    name = todo.pop()
    module = root if name == root.__name__ else sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name in found or file is None or not _is_users(name, file, root.__name__):
      continue
    loader = getattr(module.__spec__, "loader", None)
    read = getattr(loader, "get_data", lambda path: pathlib.Path(path).read_bytes())
    found[name] = read(file)  # a loader reads from zip files too
    if file.endswith(".py"):
      todo += _imported(found[name], module)
  return found


def is_ours(module: str) -> bool:
  """Whether a module is of this package."""
  return _package(module) == _OURS


def _is_users(name: str, file: str, root: str) -> bool:
  """Whether a module is the user's: of the package of `root`, or neither installed nor ours."""
  package = _package(name)
  if package == _package(root):
    return True
  folders = [pathlib.Path(sysconfig.get_path(kind)) for kind in _INSTALLED]
  installed = any(pathlib.Path(file).is_relative_to(folder) for folder in folders)
  return not installed and package != _OURS


def _package(name: str) -> str:
  return name.partition(".")[0]


def _imported(source: bytes, module: types.ModuleType) -> list[str]:
  """Names of the modules that a source may import, wherever in it."""
  names = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = "." * node.level + (node.module or "")
      if node.level:
        try:
          base = importlib.util.resolve_name(base, module.__package__)
        except ImportError:  # a line that was never reached
          continue
      names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
  return [parent for name in names for parent in _with_parents(name)]


def _with_parents(name: str) -> list[str]:
  parts = name.split(".")
  return [".".join(parts[: count + 1]) for count in range(len(parts))]
