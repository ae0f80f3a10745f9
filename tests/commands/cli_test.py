"""The command `fedsafe`, in a checkout and installed."""

import os
import pathlib
import subprocess
import sys

import pytest

from fedsafe_tff.commands import cli
from fedsafe_tff.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_command_is_listed_and_can_be_called():
  known = cli.names()
  assert {"train", "report", "compare", "doctor", "table1", "figure2"} < known.keys()
  for name, line in known.items():
    assert line, f"{name} has no docstring"
    text = (ROOT / "fedsafe_tff" / "commands" / f"{name}.py").read_text()
    assert f"def {name}(" in text and (ROOT / "experiments" / f"{name}.py").is_file()


def test_help_names_commands_and_presets():
  text = cli.help_text()
  assert "train" in text and "demo, " in text and "quick" in text


def test_an_unknown_name_is_answered_by_the_nearest():
  with pytest.raises(UserError, match="did you mean table1"):
    cli.fedsafe(["tabel1"])
  with pytest.raises(UserError, match="choose one of .*train"):
    cli.fedsafe(["xyzzy"])


def test_arguments_reach_the_command(capsys):
  cli.fedsafe(["compare", "--help"])
  assert "RUN_DIR" in capsys.readouterr().out


def test_installed_it_is_one_package_with_its_presets(tmp_path):
  """As `pip install .` does it, without what it depends on."""
  site = tmp_path / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
  pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
  pip += ["--no-index", "--disable-pip-version-check", "--prefix", str(tmp_path)]
  # From a copy: setuptools builds inside the folder that it is given.
  files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True).stdout
  source = tmp_path / "source"
  for name in files.decode().split("\0"):
    if name.startswith(("fedsafe_tff/", "flags/", "setup.py", "README.md", "pyproject")):
      target = source / name
      target.parent.mkdir(parents=True, exist_ok=True)
      if (ROOT / name).is_file():
        target.write_bytes((ROOT / name).read_bytes())
  done = subprocess.run([*pip, str(source)], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  packages = [p.name for p in site.iterdir() if ".dist-info" not in p.name]
  assert packages == ["fedsafe_tff"]
  said = subprocess.run(
    [sys.executable, str(tmp_path / "bin" / "fedsafe"), "train", "--preset=nothing"],
    env=os.environ | {"PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True,
  )  # fmt: skip
  assert said.returncode == 2 and "preset 'nothing' is unknown: choose one of demo" in said.stderr
