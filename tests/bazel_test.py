"""Bazel itself on the BUILD files."""

import pytest

from tests import bazel_check

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(bool(bazel_check.missing()), reason=bazel_check.missing() or "-"),
]


@pytest.fixture(scope="module")
def bazel():
  with bazel_check.bazel() as made:
    yield made


def test_every_target_and_dependency_is_there(bazel):
  loaded = bazel.query("kind(py_.*, //...)")
  assert loaded.returncode == 0, loaded.stderr
  files = [*bazel.workspace.rglob("*.py")]
  assert len(loaded.stdout.split()) == len(files) > 300
  analysed = bazel.analyze("//...")
  assert analysed.returncode == 0, analysed.stderr


def test_tests_pass_in_runfiles_of_their_own(bazel):
  done = bazel.test(*bazel_check.CHEAP)
  assert done.returncode == 0, done.stdout + done.stderr
  assert f"Executed {len(bazel_check.CHEAP)} out of" in done.stdout + done.stderr


@pytest.mark.parametrize(
  "package, dependency, test, module",
  [
    ("fedsafe_tff/runs/config", '":evaluation",', "//tests/runs/config:config_test", "evaluation"),
    (
      "fedsafe_tff/runs/report",
      'deps = [requirement("rich")],',
      "//tests/runs/report:progress_test",
      "rich",
    ),
  ],
)  # fmt: skip
def test_a_dependency_that_is_left_out_is_found(bazel, package, dependency, test, module):
  file = bazel.workspace / package / "BUILD"
  text = file.read_text()
  assert dependency in text
  file.write_text(text.replace(dependency, ""))
  try:
    done = bazel.test(test)
  finally:
    file.write_text(text)
  said = done.stdout + done.stderr
  assert done.returncode != 0 and "No module named" in said and module in said, said
