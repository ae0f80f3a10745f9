"""Packages and registries that list what they offer and import it on use: that takes seconds."""

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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

  return get, lambda: sorted({*names, *(name for name in modules if "." not in name)})


@dataclasses.dataclass(frozen=True)
class Member:
  """A function or class of a registry, whose module is imported when it is first called.

  So that names and helps of a registry are there at once, for flags. Where it has been imported
  anyway, it can stand in a registry itself.

  Attributes:
    module: Dotted name of its module.
    name: Its name there.
    help: What it is, in a few words for `--help`; empty where its name says that.
  """

  module: str
  name: str
  help: str = ""

  def load(self) -> Callable[..., Any]:
    """The function, class or constant itself."""
    return getattr(importlib.import_module(self.module), self.name)

  def __call__(self, *arguments: Any, **keywords: Any) -> Any:
    """Calls it."""
    return self.load()(*arguments, **keywords)


def loaded(function: Callable[..., Any]) -> Callable[..., Any]:
  """A member of a registry itself, imported if it has not been."""
  return function.load() if isinstance(function, Member) else function


def taken(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
  """Those of the `offered` arguments that a member of a registry has; all, if it takes any."""
  parameters = inspect.signature(loaded(function)).parameters
  if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
    return dict(offered)
  return {name: value for name, value in offered.items() if name in parameters}


def listed(names: Iterable[str]) -> str:
  """Names for a message: a, b or c."""
  *others, last = names
  return f"{', '.join(others)} or {last}" if others else last


def helps(registry: Mapping[str, Any]) -> str:
  """The names of a registry for a flag's help, each with the help that it has."""
  texts = {name: getattr(member, "help", "") for name, member in registry.items()}
  return "; ".join(f"{name}: {text}" if text else name for name, text in texts.items())
