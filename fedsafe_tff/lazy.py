"""Packages that list what they offer and import it on first use: TensorFlow takes seconds."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
  package: str, names: Mapping[str, str], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
  """The `__getattr__` and `__dir__` of a package's `__init__.py`.

  Args:
    package: Its `__name__`.
    names: Public name to the module of the package that defines it.
    modules: Modules that are public themselves, beside those in `names`.
  """
  modules = frozenset(modules) | frozenset(names.values())

  def get(name: str) -> Any:
    if name in names:
      value = getattr(importlib.import_module(f"{package}.{names[name]}"), name)
    elif name in modules:
      value = importlib.import_module(f"{package}.{name}")
    else:
      raise AttributeError(f"module {package!r} has no attribute {name!r}")
    setattr(sys.modules[package], name, value)
    return value

  return get, lambda: sorted({*names, *modules})
