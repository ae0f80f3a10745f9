"""The page on adding to the package: what it says is done to a copy of the package, and used.

Files, lines and programs are taken from the page itself, so that it can't drift from the code.
"""

import ast
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.source_tree import ROOT

_PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
_BLOCK = r"[^`]*\n\n```python\n(.*?)```"
_FILES = re.findall(r"File `([\w/.]+\.py)`:" + _BLOCK, _PAGE, re.DOTALL)
_LINES = re.findall(r"Line in `(\w+)` of `([\w/.]+)`" + _BLOCK, _PAGE, re.DOTALL)
_FLAGS = [word for line in re.findall(r"By flag `([^`]+)`", _PAGE) for word in line.split()]
_USES = re.findall(r"(?:share:|[iI]n Python:)" + _BLOCK, _PAGE, re.DOTALL)
_FAMILIES = {
  "ATTACKS", "_MEMBERS", "DEFENSES", "AGGREGATORS", "DATASETS", "MODELS", "RUNTIMES", "MECHANISMS"
}  # fmt: skip
# Small, and with an effect on each of the new members.
_RUN = (
  "--rounds=1", "--num_clients=2", "--min_client_images=2", "--batch_size=8", "--noise_seed=1",
  "--attack_eps=0.1", "--partition=iid", "--adaptation_fraction=0.1", "--validation_fraction=0.1",
)  # fmt: skip


def _with_line(path, name: str, line: str) -> None:
  """Adds a line, or one that is wrapped, to the end of the dict or tuple of that name."""
  text = path.read_text(encoding="utf-8")
  (end,) = [
    node.end_lineno
    for node in ast.parse(text).body
    for target in (getattr(node, "targets", None) or [getattr(node, "target", None)])
    if isinstance(target, ast.Name) and target.id == name
  ]
  lines = text.splitlines(keepends=True)
  path.write_text("".join([*lines[: end - 1], line, *lines[end - 1 :]]), encoding="utf-8")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
  """A copy of the package with all that the page adds."""
  folder = tmp_path_factory.mktemp("grown")
  skipped = shutil.ignore_patterns("__pycache__", "BUILD")
  shutil.copytree(ROOT / "fedsafe_tff", folder / "fedsafe_tff", ignore=skipped)
  shutil.copytree(ROOT / "flags", folder / "flags", ignore=skipped)
  for path, text in _FILES:
    assert not (folder / path).exists(), f"{path} is there already: the page would replace it"
    (folder / path).write_text(text, encoding="utf-8")
  for name, path, line in _LINES:
    _with_line(folder / path, name, line)
  return folder


def _run(folder, program: str, *words: str) -> subprocess.CompletedProcess:
  environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(folder)}
  return subprocess.run(
    [sys.executable, "-c", program, *words],
    cwd=folder, env=environment, capture_output=True, text=True, timeout=500,
  )  # fmt: skip


def test_the_page_shows_a_member_of_each_family():
  assert {name for name, _, _ in _LINES} == _FAMILIES
  assert len(_FILES) == len(_LINES) == len(_USES) - 1 == len(_FAMILIES)
  for _, _, line in _LINES:  # one, wrapped where the style wants it
    assert len(ast.parse(f"({line.strip()})" if ": " not in line else f"{{{line}}}").body) == 1


@pytest.mark.slow
def test_every_new_member_is_used_from_python_as_shown(grown):
  done = _run(grown, "\n\n".join(_USES))
  assert done.returncode == 0, done.stderr


def test_every_new_member_is_used_by_flag(grown):
  assert len(_FLAGS) >= 6
  done = _run(grown, "import sys\nfrom fedsafe_tff.commands import cli\nsys.exit(cli.main())",
              "train", *_FLAGS, *_RUN, "--run_dir=run")  # fmt: skip
  assert done.returncode == 0, done.stderr + done.stdout
  assert "jump,0.1" in (grown / "run" / "transfer_matrix.csv").read_text()
  flags = {word.split("=")[0] for word in _FLAGS}
  config = (grown / "run" / "config.json").read_text()
  assert all(f'"{flag.removeprefix("--")}"' in config for flag in flags)
  done = _run(grown, "import sys\nfrom fedsafe_tff.commands import cli\nsys.exit(cli.main())",
              "attack", "run", "--attackers=all_copies", "--attack=pgd:steps=2",
              "--attack_eps=0.1", "--attack_images=4")  # fmt: skip
  assert done.returncode == 0 and "all_copies, pgd:steps=2" in done.stdout, done.stderr


def test_help_and_messages_name_the_new_members(grown):
  program = (
    "from absl import flags\n"
    "from fedsafe_tff.errors import UserError\n"
    "from fedsafe_tff.runs.config import Config\n"
    "from fedsafe_tff.runs.flags import define\n"
    "import sys\n"
    "values = flags.FlagValues()\n"
    "define.define_all(values)\n"
    "for word in sys.argv[1:]:\n"
    "  flag, name = word.removeprefix('--').split('=')\n"
    "  assert name in values[flag].help, word\n"
    "  if values[flag].flag_type().startswith(('string enum', 'enum')) or flag == 'attacks':\n"
    "    try:\n"
    "      Config(**{flag: 'nothing'})\n"
    "    except UserError as error:\n"
    "      assert name in str(error), error\n"
    "assert 'tensorflow' not in sys.modules\n"
  )
  no_members = ("--num_images", "--upload", "--evaluation")
  named = [word for word in _FLAGS if not word.startswith(no_members)] + ["--privacy=each_round"]
  done = _run(grown, program, *named)
  assert done.returncode == 0, done.stderr
