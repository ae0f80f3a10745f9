"""What a user's own model is: its source, and the weights that it comes with.

Its name says neither: the function behind it may be another one tomorrow, or in another folder.
"""

import ast
import hashlib
import importlib.util
import pathlib
import sys
import sysconfig
import types
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.models import registry
from fedsafe_tff.models.functional import FunctionalModel

_OURS = __name__.partition(".")[0]
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def fingerprint(name: str, *, input_shape: tuple[int, int, int], num_classes: int) -> str:
  """sha256, as hex, of a user's model; empty for a model of this package.

  It covers the module that defines the function and the modules of the user's that this one
  imports, and the weights that the model comes with, such as pretrained ones: those that two seeds
  agree on. What is drawn follows from the source and the run's seed.

  Args:
    name: As `build_model` takes it.
    input_shape: (height, width, channels).
    num_classes: Number of logits.

  Raises:
    UserError: The name can't be resolved.
  """
  if name in registry.MODELS:
    module = sys.modules[lazy.loaded(registry.MODELS[name]).__module__]
    digest = hashlib.sha256(name.encode())
    return "" if _package(module.__name__) == _OURS else _with_sources(digest, module)
  module, build = registry.load_function(name)
  function = name.rpartition(":")[2]
  digest = hashlib.sha256(f"{function} {tuple(input_shape)} {num_classes}".encode())
  drawn = [
    _weights(registry.call_function(build, input_shape, num_classes, seed), seed)
    for seed in (0, 1)
  ]
  for index, (first, second) in enumerate(zip(*drawn)):
    same = first.shape == second.shape and first.tobytes() == second.tobytes()
    digest.update(f"/{index} {first.dtype}{first.shape}{same}".encode())
    digest.update(first.tobytes() if same else b"")
  return _with_sources(digest, module)


def _with_sources(digest: Any, module: types.ModuleType) -> str:
  for file, source in sorted(_sources(module).items()):
    digest.update(f"/{file} {len(source)} ".encode())
    digest.update(source)
  return digest.hexdigest()


def _weights(made: object, seed: int) -> list[np.ndarray]:
  """All weights, frozen ones too; none where `build_model` will refuse what was made."""
  if isinstance(made, FunctionalModel):
    drawn = made.init(keys.fold(keys.root(seed), keys.INIT))
    return [np.asarray(w) for w in (*drawn, *(value for _, value in made.frozen))]
  if isinstance(made, tf.keras.Model):
    return [np.asarray(w) for w in made.get_weights()]
  return []


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
