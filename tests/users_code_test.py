"""Flags that name a function import a user's, and nothing else by a slip."""

import pytest

from fedsafe_tff import users_code
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import registry


def load(name, arguments=((8, 8, 1), 2)):
  return users_code.load_function(
    name, flag="model", choices="cnn", takes="(input_shape, num_classes)", arguments=arguments
  )


@pytest.mark.parametrize(
  "name", ["os:system", "os.path:join", "subprocess:run", "builtins:print", "antigravity:x"]
)
def test_pythons_own_library_is_refused(name):
  """Before it is imported: antigravity opens a browser."""
  with pytest.raises(UserError, match="is of Python's own library"):
    load(name)


def test_a_function_of_the_library_by_way_of_a_file_is_refused(tmp_path):
  lines = ("from os import system as build", "from subprocess import run")
  (tmp_path / "mine.py").write_text("\n".join(lines))
  for name in ("build", "run"):
    with pytest.raises(UserError, match="is of Python's own library"):
      load(f"{tmp_path}/mine.py:{name}", arguments=("true",))


@pytest.mark.parametrize(
  "line", ["import sys; sys.exit(0)", "raise SystemExit", "1 / 0", "def f(:"]
)
def test_a_file_that_ends_or_breaks_is_named_and_ends_nothing(tmp_path, line):
  (tmp_path / "mine.py").write_text(line + "\n")
  with pytest.raises(UserError, match="--model=.*mine.py:f can't be loaded"):
    load(f"{tmp_path}/mine.py:f")


@pytest.mark.parametrize(
  "line, said", [("raise KeyError('layer')", "KeyError: 'layer'"), ("exit(0)", "SystemExit: 0")]
)
def test_a_function_that_raises_is_named_with_its_line(tmp_path, line, said):
  (tmp_path / "mine.py").write_text(f"def f(shape, classes):\n  {line}\n")
  _, build = load(f"{tmp_path}/mine.py:f")
  with pytest.raises(UserError) as caught:
    registry.call_function(build, (8, 8, 1), 2, 0)
  assert said in str(caught.value) and "mine.py:2" in str(caught.value)
