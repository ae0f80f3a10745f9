"""Ruff over the repository, as `make lint` runs it."""

import importlib.util
import subprocess
import sys

import pytest

from tests.source_tree import ROOT


def test_ruff_is_clean():
  if importlib.util.find_spec("ruff") is None:
    pytest.skip("ruff is not installed: `make test` installs requirements-test.txt")
  result = subprocess.run(
    [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stdout + result.stderr
