"""Commits side by side, on a repository whose training writes numbers and does nothing else."""

import pathlib
import subprocess

import pytest

from benchmarks import commits
from fedsafe_tff.errors import UserError

TRAIN = """
import pathlib, sys, time
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
if flags["rounds"] == "0":
  sys.exit("error: --rounds=0 is out of range")
run = pathlib.Path(flags["run_dir"])
run.mkdir(parents=True)
seconds = [90.0] + [SECONDS * float(flags.get("times", "1"))] * (int(flags["rounds"]) - 1)
lines = [f"{number + 1},{each}" for number, each in enumerate(seconds)]
(run / "metrics.csv").write_text("\\n".join(["round,seconds", *lines]))
"""


@pytest.fixture
def repository(tmp_path, monkeypatch) -> pathlib.Path:
  """Two commits, `old` of 4 seconds a round and the newest of 3."""
  folder = tmp_path / "repository"
  (folder / "experiments").mkdir(parents=True)

  def git(*words: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *words]
    subprocess.run(command, check=True, capture_output=True)

  git("init")
  for seconds, tag in ((4, "old"), (3, "new")):
    (folder / "experiments" / "train.py").write_text(TRAIN.replace("SECONDS", str(seconds)))
    git("add", ".")
    git("commit", "-m", tag)
    git("tag", tag)
  monkeypatch.setattr(commits, "_ROOT", folder)
  return folder


def test_ratios_are_of_rounds_after_the_first(repository, tmp_path):
  page = tmp_path / "page.md"
  contenders = ["--contender=old", "--contender=HEAD", "--contender=HEAD --times=4"]
  assert commits.commits([*contenders, "--repeats=2", f"--out={page}", "--", "--rounds=3"]) == 0
  text = page.read_text()
  assert "| 1: old | 4.00 (4.00-4.00) | 1.00 (1.00-1.00) |" in text
  assert "| 2: HEAD | 3.00 (3.00-3.00) | 0.75 (0.75-0.75) |" in text
  assert "| 3: HEAD --times=4 | 12.0 (12.0-12.0) | 3.00 (3.00-3.00) |" in text
  assert "'--contender=HEAD --times=4'" in text  # the command can be given again as it stands
  assert str(tmp_path) not in text


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--contender=old"], "two contenders"),
    (["--contender=old", "--contender="], "is empty"),
    (["--contender=old", "--contender=nowhere"], "nowhere is no commit"),
    (["--contender=old", "--contender=HEAD", "--", "--run_dir=x"], "set by the benchmark"),
    (["--contender=old", "--contender=HEAD", "--", "--rounds=0"], "code 1: .*out of range"),
  ],
)
def test_what_can_not_be_is_one_line(repository, words, message):
  with pytest.raises(UserError, match=message):
    commits.commits(["--out=", *words])
