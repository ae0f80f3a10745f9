"""What the repository's Python files import, read from their syntax trees."""

import ast
import dataclasses
import pathlib
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = ("fedsafe_tff", "experiments", "benchmarks", "tests")


@dataclasses.dataclass(frozen=True)
class Source:
  """A Python file.

  Attributes:
    path: Relative to the repository's root.
    imports: Dotted names of all imported modules, those inside functions too, and those that a
      package or registry imports on use (`fedsafe_tff.lazy`); `from a import b` counts as `a.b`
      where that is a module of ours.
    top_level: The imports that run when the module is imported.
    strings: Its string constants, docstrings included.
    is_binary: Whether it has an `if __name__ == "__main__"`.
  """

  path: pathlib.Path
  imports: frozenset[str]
  top_level: frozenset[str]
  strings: frozenset[str]
  is_binary: bool

  @property
  def module(self) -> str:
    """Its dotted name; that of a package for an `__init__.py`."""
    parts = self.path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_of(module: str) -> pathlib.Path | None:
  """The file of a module of ours, relative to the root, or None."""
  base = pathlib.Path(*module.split("."))
  for path in (base.with_suffix(".py"), base / "__init__.py"):
    if (ROOT / path).is_file():
      return path
  return None


def is_third_party(module: str) -> bool:
  """Whether a module is neither ours nor the standard library's."""
  top = module.split(".")[0]
  return top not in OURS and top not in sys.stdlib_module_names and top != "__future__"


def _names(node: ast.AST) -> Iterator[str]:
  if isinstance(node, ast.Import):
    yield from (alias.name for alias in node.names)
  elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
    members = [f"{node.module}.{alias.name}" for alias in node.names]
    modules = [name for name in members if file_of(name)]
    yield from modules
    if len(modules) < len(members):
      yield node.module


def _on_use(node: ast.AST, path: pathlib.Path) -> Iterator[str]:
  """Modules that `lazy.attach(__name__, names, modules)` and `lazy.Member(module, name)` import."""
  if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.Member":
    yield ast.literal_eval(node.args[0])
  if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.attach":
    names, *modules = [ast.literal_eval(argument) for argument in node.args[1:]]
    package = ".".join(path.parent.parts)
    yield from (f"{package}.{name}" for name in {*names.values(), *(modules[0] if modules else ())})


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
  for child in ast.iter_child_nodes(node):
    if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
      yield child
      yield from _outside_functions(child)


def read(path: pathlib.Path) -> Source:
  """Parses a file; `path` is relative to the root."""
  tree = ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))
  nodes = list(ast.walk(tree))
  strings = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
  guards = (ast.unparse(n.test) for n in tree.body if isinstance(n, ast.If))
  return Source(
    path=path,
    imports=frozenset(
      name for node in nodes for name in (*_names(node), *_on_use(node, path))
    ),
    top_level=frozenset(name for node in _outside_functions(tree) for name in _names(node)),
    strings=frozenset(strings),
    is_binary=any(guard == "__name__ == '__main__'" for guard in guards),
  )


def sources() -> list[Source]:
  """Every Python file of the repository, sorted by path."""
  paths = list(ROOT.glob("*.py"))
  for folder in OURS:
    paths += (ROOT / folder).rglob("*.py")
  return [read(path.relative_to(ROOT)) for path in sorted(paths)]


def top_level_closure(module: str, by_module: dict[str, Source]) -> dict[str, tuple[str, ...]]:
  """All that importing a module of ours imports in turn, each with the chain that leads to it.

  Args:
    module: A key of `by_module`.
    by_module: Sources by dotted name.
  """
  chains: dict[str, tuple[str, ...]] = {}
  waiting = [(module,)]
  while waiting:
    chain = waiting.pop(0)
    source = by_module.get(chain[-1])
    imported = set(source.top_level) if source else set()
    if source:  # Importing a.b.c runs a/__init__.py and a/b/__init__.py first.
      parts = chain[-1].split(".")
      imported |= {".".join(parts[:i]) for i in range(1, len(parts))} & by_module.keys()
    for name in sorted(imported):
      if name not in chains:
        chains[name] = (*chain, name)
        waiting.append((*chain, name))
  return chains
