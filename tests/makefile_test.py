"""What a newcomer types first; the set-up itself is what runs these tests."""

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))


def make(folder, *words):
  return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True)


def test_help_lists_every_target():
  done = make(ROOT, "help")
  assert done.returncode == 0
  targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
  for target in targets:
    assert re.search(rf"^  {target} +\w", done.stdout, re.MULTILINE), target


@pytest.mark.parametrize("python", ["/bin/false", "no-such-python"])
def test_a_wrong_python_is_one_clear_line(tmp_path, python):
  for name in ("Makefile", "requirements.txt"):
    shutil.copy(ROOT / name, tmp_path)
  done = make(tmp_path, "setup", f"PYTHON={python}")
  said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
  assert done.returncode != 0 and len(said) == 1
  assert said[0].startswith(f"setup: Python 3.11 is needed, but {python} is not usable: install")
  assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_and_name_no_index(path):
  text = path.read_text()
  assert not re.search(r"--(extra-)?index-url|--find-links|https?://", text)
  pins = re.findall(r"^[A-Za-z0-9_.\-]+(?:\[[^\]]*\])?==\S+", text, re.MULTILINE)
  assert pins
  if path.name != "requirements-overrides.txt":
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    packages = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert all("==" in line and "--hash=sha256:" in line for line in packages)
