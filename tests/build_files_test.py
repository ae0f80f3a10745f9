"""The BUILD files against the imports."""

import ast
import pathlib

import pytest

from tests import build_files, source_tree


def test_build_files_follow_the_imports():
  lines = build_files.differing()
  assert not lines, "run `make build-files`:\n" + "\n".join(lines)


def test_bazel_would_find_no_cycle():
  found = build_files.cycle(source_tree.sources())
  assert not found, "these import each other, which Bazel refuses: " + " -> ".join(found)


def _write(root: pathlib.Path, files: dict[str, str]) -> None:
  for name, text in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture
def small_tree(tmp_path, monkeypatch):
  """A tree of four modules in place of the repository."""
  _write(
    tmp_path,
    {
      "requirements.txt": "absl-py==1 \\\n    --hash=x\nnumpy==1\nscikit_learn==1\n",
      "requirements-test.txt": "pytest==1\n",
      "fedsafe_tff/__init__.py": "",
      "fedsafe_tff/a.py": "import os\nimport numpy as np\nfrom fedsafe_tff.sub import b\n",
      "fedsafe_tff/sub/__init__.py": "",
      "fedsafe_tff/sub/b.py": "def f():\n  from sklearn import svm\n",
      "experiments/run.py": (
        'from absl import app\nfrom fedsafe_tff.a import x\nif __name__ == "__main__":\n  x()\n'
      ),
      "tests/sub/b_test.py": "from fedsafe_tff.sub.b import f\n",
    },
  )
  monkeypatch.setattr(source_tree, "ROOT", tmp_path)
  monkeypatch.setattr(build_files, "ROOT", tmp_path)
  return tmp_path


def _targets(text: str) -> dict[str, tuple[str, list[str]]]:
  """Name to (rule, deps) of the targets of a BUILD file, which is valid Python too."""
  targets = {}
  for node in ast.parse(text).body:
    call = node.value
    if call.func.id.startswith("py_"):
      values = {keyword.arg: keyword.value for keyword in call.keywords}
      deps = [ast.unparse(d).strip("'") for d in values["deps"].elts] if "deps" in values else []
      targets[values["name"].value] = (call.func.id, deps)
  return targets


def test_targets_of_a_small_tree(small_tree):
  texts = {path.as_posix(): _targets(text) for path, text in build_files.build_files().items()}
  assert texts == {
    "experiments/BUILD": {
      "run": ("py_binary", ["//fedsafe_tff:a", "requirement('absl-py')"]),
    },
    "fedsafe_tff/BUILD": {
      "__init__": ("py_library", []),
      "a": ("py_library", ["//fedsafe_tff/sub:b", "requirement('numpy')"]),
    },
    "fedsafe_tff/sub/BUILD": {
      "__init__": ("py_library", []),
      "b": ("py_library", ["requirement('scikit-learn')"]),
    },
    "tests/sub/BUILD": {
      "b_test": (
        "py_test",
        ["//fedsafe_tff/sub:b", "//tests:conftest", "requirement('pytest')"],
      ),
    },
  }


def test_differences_are_named(small_tree):
  for path, text in build_files.build_files().items():
    (small_tree / path).write_text(text)
  assert build_files.differing() == []
  (small_tree / "fedsafe_tff/a.py").write_text("import numpy as np\n")
  _write(small_tree, {"experiments/old/BUILD": ""})
  (small_tree / "tests/sub/BUILD").unlink()
  lines = "\n".join(build_files.differing())
  assert "fedsafe_tff/BUILD lacks" in lines and "//fedsafe_tff/sub:b" in lines
  assert "tests/sub/BUILD is missing" in lines
  assert "experiments/old/BUILD stands in a folder without Python files" in lines


def test_a_cycle_is_found(small_tree):
  assert build_files.cycle(source_tree.sources()) is None
  _write(small_tree, {"fedsafe_tff/sub/b.py": "import fedsafe_tff.a\n"})
  found = build_files.cycle(source_tree.sources())
  assert found == ["//fedsafe_tff:a", "//fedsafe_tff/sub:b", "//fedsafe_tff:a"]


def test_imports_without_a_pin_or_a_file_are_refused(small_tree):
  _write(small_tree, {"fedsafe_tff/a.py": "import pandas\n"})
  with pytest.raises(ValueError, match="a.py imports pandas, which neither"):
    build_files.build_files()
  _write(small_tree, {"fedsafe_tff/a.py": "import fedsafe_tff.gone\n"})
  with pytest.raises(ValueError, match="imports fedsafe_tff.gone, which has no file"):
    build_files.build_files()
