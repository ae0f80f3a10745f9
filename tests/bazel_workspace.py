"""Writes a folder in which Bazel builds and tests the project without the network.

The checkout's `MODULE.bazel` fetches rules_python and wheels. In its place stands a `WORKSPACE`
with local repositories: `rules_python` and its like, which hand on Bazel's own rules, and
`fedsafe_pip`, with a target for each distribution of the virtual environment that holds links to
what that one installed. Tests run with the environment's interpreter but without its
site-packages, in a runfiles tree each: a module of ours or a distribution that no dependency leads
to is not there.
"""

import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys

from packaging.requirements import Requirement

from tests.source_tree import ROOT

# What Bazel reads; results and pictures of the documentation are no part of any target.
_TOP = ("fedsafe_tff", "experiments", "benchmarks", "tests", "flags")
_FILES = ("BUILD", "setup.py", "pyproject.toml", "requirements.txt", "requirements-test.txt")
# Rules that Bazel has built in, as files; those of other languages are what its own tools load.
_RULES = {
  "cc": (
    "cc_binary", "cc_import", "cc_library", "cc_proto_library", "cc_test", "cc_toolchain",
    "cc_toolchain_suite", "objc_library",
  ),
  "java": (
    "java_binary", "java_import", "java_library", "java_proto_library", "java_runtime",
    "java_toolchain",
  ),
  "proto": ("proto_lang_toolchain", "proto_library"),
  "python": ("py_binary", "py_library", "py_test"),
}  # fmt: skip
# Every test names it, and only `bazel coverage` runs it.
_COVERAGE = """\
sh_binary(
    name = "coverage_report_generator",
    srcs = ["none.sh"],
    visibility = ["//visibility:public"],
)
"""
_TOOLCHAIN = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "python",
    interpreter_path = "{python}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "pair",
    py3_runtime = ":python",
)

toolchain(
    name = "toolchain",
    toolchain = ":pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""
_REQUIREMENTS = """\
def requirement(name):
    return "@fedsafe_pip//{}:pkg".format(name)
"""
_DISTRIBUTION = """\
py_library(
    name = "pkg",
    data = {data},
    imports = ["site"],
    deps = {deps},
    visibility = ["//visibility:public"],
)
"""


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes everything below `folder`; returns the workspace, a copy of the files that git knows."""
  workspace = folder / "fedsafe_tff"
  listed = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *_TOP, *_FILES],
    cwd=ROOT, check=True, capture_output=True, text=True,
  )  # fmt: skip
  for name in filter(None, listed.stdout.split("\0")):
    if (ROOT / name).is_file():
      (workspace / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / name, workspace / name)
  for language, rules in _RULES.items():
    lines = "".join(f"{rule} = native.{rule}\n" for rule in rules)
    repository = folder / f"rules_{language}"
    _put(repository / language / "BUILD", "")
    _put(repository / language / "defs.bzl", lines)
  _put(folder / "remote_coverage_tools" / "BUILD", _COVERAGE)
  _put(folder / "remote_coverage_tools" / "none.sh", "#!/bin/sh\nexit 1\n").chmod(0o755)
  python = folder / "rules_python" / "python.sh"
  _put(python, f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n').chmod(0o755)
  _put(folder / "rules_python" / "BUILD", _TOOLCHAIN.format(python=python))
  _write_distributions(folder / "fedsafe_pip")

  text = 'workspace(name = "fedsafe_tff")\n\n'
  for repository in sorted(path for path in folder.iterdir() if path != workspace):
    _put(repository / "WORKSPACE", f'workspace(name = "{repository.name}")\n')
    text += f'local_repository(name = "{repository.name}", path = "{repository}")\n\n'
  _put(workspace / "WORKSPACE", text + 'register_toolchains("@rules_python//:toolchain")\n')
  return workspace


def normalized(name: str) -> str:
  """A distribution's name as labels and requirements files have it."""
  return re.sub(r"[-_.]+", "-", name).lower()


def _write_distributions(hub: pathlib.Path) -> None:
  _put(hub / "BUILD", "")
  _put(hub / "requirements.bzl", _REQUIREMENTS)
  found = {normalized(d.metadata["Name"]): d for d in importlib.metadata.distributions()}
  for name, distribution in found.items():
    needs = sorted(_needs(distribution) & found.keys() - {name})
    entries = sorted({path.parts[0] for path in distribution.files or () if _shown(path)})
    site = hub / name / "site"
    site.mkdir(parents=True)
    for entry in entries:
      (site / entry).symlink_to(distribution.locate_file(entry))
    data = [f"site/{entry}" for entry in entries]
    deps = [f"//{need}:pkg" for need in needs]
    _put(hub / name / "BUILD", _DISTRIBUTION.format(data=data, deps=deps))


def _shown(path: pathlib.PurePath) -> bool:
  return path.parts[0] not in ("..", "__pycache__") and not path.is_absolute()


def _needs(distribution: importlib.metadata.Distribution) -> set[str]:
  """What a distribution says that it needs here, extras left out."""
  parsed = map(Requirement, distribution.requires or ())
  wanted = (r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""}))
  return {normalized(r.name) for r in wanted}


def _put(path: pathlib.Path, text: str) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding="utf-8")
  return path
