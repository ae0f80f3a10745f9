"""Builds and tests with Debian's Bazel: python -m tests.bazel_check [TARGET ...].

Loads and analyses every target, then runs the tests named, by default a few cheap ones. All of it
happens in a temporary folder; see `tests.bazel_workspace`.
"""

import contextlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from tests import bazel_workspace

# What `apt install bazel-bootstrap` calls it: 4.2.3, which reads a WORKSPACE; later ones don't.
BAZEL = "bazel-4"
CHEAP = (
  "//tests/data:augment_test",
  "//tests/runs/config:config_test",
  "//tests/runs/report:progress_test",
)
# Not --nosystem_rc: Debian's own says where its server is.
_SERVER = ("--nohome_rc", "--noworkspace_rc", "--host_jvm_args=-Xmx1g")
# A test takes up to 2 GiB, as TensorFlow is in it.
_BUILD = ("--jobs=2", "--local_cpu_resources=2", "--local_ram_resources=4096", "--noshow_progress")
_TEST = ("--test_output=errors", "--test_verbose_timeout_warnings=false")


def missing() -> str:
  """Why there is no check on this machine; empty where there can be one."""
  if shutil.which(BAZEL):
    return ""
  return f"{BAZEL} is not installed: apt install bazel-bootstrap (Debian)"


class Bazel:
  """A workspace with its server."""

  def __init__(self, folder: pathlib.Path):
    self.workspace = bazel_workspace.write(folder / "repositories")
    self._server = [BAZEL, f"--output_user_root={folder / 'outputs'}", *_SERVER]

  def _run(self, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
      [*self._server, *words], cwd=self.workspace, capture_output=True, text=True
    )

  def query(self, expression: str) -> subprocess.CompletedProcess:
    """What `bazel query` answers."""
    return self._run("query", "--noshow_progress", expression)

  def analyze(self, *targets: str) -> subprocess.CompletedProcess:
    """Analyses targets, and with them every dependency; builds nothing."""
    return self._run("build", "--nobuild", *_BUILD, *targets)

  def test(self, *targets: str) -> subprocess.CompletedProcess:
    """Runs tests."""
    return self._run("test", *_BUILD, *_TEST, *targets)

  def close(self) -> None:
    """Ends the server."""
    self._run("shutdown")


@contextlib.contextmanager
def bazel() -> Iterator[Bazel]:
  """A workspace in a temporary folder, of which nothing is left."""
  folder = pathlib.Path(tempfile.mkdtemp(prefix="bazel-"))
  made = None
  try:
    made = Bazel(folder)
    yield made
  finally:
    if made:
      made.close()
    # Bazel takes the right to write from what it has made.
    for path, _, _ in os.walk(folder):
      os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(folder)


def main(targets: Sequence[str]) -> int:
  """Runs the check; returns the exit code."""
  if reason := missing():
    print(reason, file=sys.stderr)
    return 1
  with bazel() as checked:
    for name, done in (
      ("every target", checked.analyze("//...")),
      ("tests", checked.test(*(targets or CHEAP))),
    ):
      print(done.stdout + done.stderr)
      if done.returncode:
        print(f"{name}: failed", file=sys.stderr)
        return 1
  print("every target is analysed, and the tests pass")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
