"""Writes Bazel's BUILD files from the imports: one target per module, deps that are true.

`python -m tests.build_files --write` writes them; without --write it says which differ, with exit
code 1 if any does.
"""

import argparse
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping

from tests import source_tree
from tests.source_tree import ROOT, Source

# Where a distribution's name is not that of its module.
_DISTRIBUTIONS = {
  "PIL": "pillow",
  "absl": "absl-py",
  "art": "adversarial-robustness-toolbox",
  "google": "protobuf",
  "grpc": "grpcio",
  "sklearn": "scikit-learn",
}
# Rivals in `benchmarks/peers`, each in an environment of its own, which Bazel does not build.
_ELSEWHERE = ("flwr", "pfl")
# Tests of these need the checkout, which no sandbox holds.
_CHECKOUT = ("tests.source_tree", "tests.bazel_check")
_HEADER = """\
# Written by `make build-files` from the imports; tests/build_files_test.py compares.
"""
_ROOT_EXTRAS = """
exports_files([
    "pyproject.toml",
    "requirements.txt",
    "requirements-test.txt",
])
"""
_PRESETS = f"""{_HEADER}
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "presets",
    srcs = glob(["presets/**/*.flags"]),
)
"""


def pinned() -> frozenset[str]:
  """Names of the distributions in the two requirements files, normalised."""
  names = set()
  for file in ("requirements.txt", "requirements-test.txt"):
    names |= set(re.findall(r"^([\w.-]+)==", (ROOT / file).read_text(), re.MULTILINE))
  return frozenset(re.sub(r"[-_.]+", "-", name).lower() for name in names)


def distribution_of(module: str) -> str:
  """The distribution that a third-party module comes from."""
  top = module.split(".")[0]
  return _DISTRIBUTIONS.get(top, top.replace("_", "-").lower())


def label(path: pathlib.Path, folder: pathlib.Path | None = None) -> str:
  """The label of a file's target, short when seen from its own folder."""
  package = "" if path.parent == pathlib.Path(".") else path.parent.as_posix()
  return f":{path.stem}" if path.parent == folder else f"//{package}:{path.stem}"


def own_dependencies(source: Source) -> list[pathlib.Path]:
  """Files of ours that a source imports.

  Raises:
    ValueError: An import of ours has no file.
  """
  paths = set()
  for name in source.imports:
    if name.split(".")[0] not in source_tree.OURS:
      continue
    path = source_tree.file_of(name)
    if path is None and not (ROOT / pathlib.Path(*name.split("."))).is_dir():
      raise ValueError(f"{source.path} imports {name}, which has no file")
    if path not in (None, source.path):
      paths.add(path)
  return sorted(paths)


def third_party(source: Source) -> list[str]:
  """Distributions that a source imports.

  Raises:
    ValueError: One of them is pinned in no requirements file.
  """
  names = {distribution_of(n) for n in source.imports if source_tree.is_third_party(n)}
  names -= set(_ELSEWHERE)
  missing = sorted(names - pinned())
  if missing:
    raise ValueError(
      f"{source.path} imports {', '.join(missing)}, which neither requirements.txt nor "
      "requirements-test.txt pins"
    )
  return sorted(names)


def cycle(sources: Iterable[Source]) -> list[str] | None:
  """A cycle of imports among our files, which Bazel refuses, as labels; None if there is none."""
  graph = {source.path: own_dependencies(source) for source in sources}
  done: set[pathlib.Path] = set()

  def visit(path: pathlib.Path, chain: list[pathlib.Path]) -> list[str] | None:
    if path in chain:
      return [label(p) for p in [*chain[chain.index(path) :], path]]
    if path not in done:
      for target in graph.get(path, []):
        if found := visit(target, [*chain, path]):
          return found
      done.add(path)
    return None

  return next((found for path in graph if (found := visit(path, []))), None)


def _list(name: str, entries: Iterable[str]) -> str:
  """An attribute that holds a list, as buildifier lays it out."""
  entries = list(entries)
  if not entries:
    return ""
  if len(entries) == 1:
    return f"    {name} = [{entries[0]}],\n"
  return f"    {name} = [\n" + "".join(f"        {e},\n" for e in entries) + "    ],\n"


def _data(source: Source) -> list[str]:
  """Data files that a source names in a string."""
  folder = ROOT / source.path.parent
  found = [
    f'"{file.name}"'
    for file in sorted(folder.iterdir())
    if file.suffix in (".jinja", ".html", ".css") and file.name in source.strings
  ]
  if any("presets" in text.split("/") or "flags/presets" in text for text in source.strings):
    found.append('"//flags:presets"')
  return found


def _label_order(name: str) -> tuple[int, str]:
  return (0 if name.startswith(":") else 1), name.replace(":", "!")


def target(source: Source) -> str:
  """The target of one module."""
  is_test = source.path.name.endswith("_test.py")
  rule = "py_test" if is_test else "py_binary" if source.is_binary else "py_library"
  folder = source.path.parent
  labels = {label(path, folder) for path in own_dependencies(source)}
  packages = set(third_party(source))
  text = f'\n{rule}(\n    name = "{source.path.stem}",\n'
  if is_test:
    text += _list("srcs", [f'"{source.path.name}"', '"//tests:run_pytest.py"'])
    text += _list("args", [f'"$(rootpath {source.path.name})"'])
    text += _list("data", ['"//:pyproject.toml"', *_data(source)])
    text += '    main = "//tests:run_pytest.py",\n'
    if not source.imports.isdisjoint(_CHECKOUT):
      text += _list("tags", ['"manual"'])
    labels.add(label(pathlib.Path("tests/conftest.py"), folder))
    packages.add("pytest")
  else:
    text += _list("srcs", [f'"{source.path.name}"']) + _list("data", _data(source))
  deps = [f'"{name}"' for name in sorted(labels, key=_label_order)]
  deps += [f'requirement("{name}")' for name in sorted(packages)]
  return text + _list("deps", deps) + ")\n"


def build_file(folder: pathlib.Path, sources: Iterable[Source]) -> str:
  """The text of a folder's BUILD file."""
  targets = "".join(target(source) for source in sources)
  rules = sorted(set(re.findall(r"^(py_\w+)\(", targets, re.MULTILINE)))
  text = _HEADER
  if "requirement(" in targets:
    text += 'load("@fedsafe_pip//:requirements.bzl", "requirement")\n'
  quoted = ", ".join(f'"{rule}"' for rule in rules)
  text += f'load("@rules_python//python:defs.bzl", {quoted})\n'
  text += '\npackage(default_visibility = ["//visibility:public"])\n'
  if folder == pathlib.Path("."):
    text += _ROOT_EXTRAS
  elif folder == pathlib.Path("tests"):
    text += '\nexports_files(["run_pytest.py"])\n'
  return text + targets


def build_files() -> Mapping[pathlib.Path, str]:
  """The text of every BUILD file, by its path relative to the root."""
  by_folder: dict[pathlib.Path, list[Source]] = {}
  for source in source_tree.sources():
    by_folder.setdefault(source.path.parent, []).append(source)
  found = {folder / "BUILD": build_file(folder, found) for folder, found in by_folder.items()}
  if (ROOT / "flags" / "presets").is_dir():  # no Python there
    found[pathlib.Path("flags/BUILD")] = _PRESETS
  return found


def differing() -> list[str]:
  """One line for each BUILD file that is missing, superfluous or unlike the imports."""
  expected = build_files()
  lines = []
  for path, text in expected.items():
    if not (ROOT / path).is_file():
      lines.append(f"{path} is missing")
    elif (actual := (ROOT / path).read_text(encoding="utf-8")) != text:
      stray = sorted(set(actual.splitlines()) - set(text.splitlines()))
      lacking = sorted(set(text.splitlines()) - set(actual.splitlines()))
      lines.append(f"{path} lacks {lacking}, should not have {stray}")
  for folder in source_tree.OURS:
    for path in sorted((ROOT / folder).rglob("BUILD")):
      if path.relative_to(ROOT) not in expected:
        lines.append(f"{path.relative_to(ROOT)} stands in a folder without Python files")
  return lines


def main() -> int:
  """Writes or compares; returns the exit code."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--write", action="store_true", help="write the files")
  if not parser.parse_args().write:
    lines = differing()
    print("\n".join(lines) or "all BUILD files follow the imports")
    return int(bool(lines))
  written = 0
  for path, text in build_files().items():
    file = ROOT / path
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
      file.write_text(text, encoding="utf-8")
      print(f"wrote {path}")
      written += 1
  print(f"{written} BUILD files written")
  return 0


if __name__ == "__main__":
  sys.exit(main())
