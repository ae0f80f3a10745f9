"""A full disk, a read-only one, no rights, closed streams, no HOME, a clock gone back.

Those that mount need root and are skipped without it.
"""

import contextlib
import ctypes
import datetime
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from fedsafe_tff.data import sums
from tests.faults.killed import Server
from tests.runs import tiny

pytestmark = pytest.mark.faults

_RUN = {"defense": "distributed_noise", "noise_seed": 5, "attack_eps": 0.1, "rounds": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  return Server(tmp_path_factory.mktemp("logs"))


def _words(folder: pathlib.Path) -> list[str]:
  return tiny.arguments(folder, cache_dir=folder / "cache", **_RUN)


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  session = server.run("train", _words(folder))
  assert session.code == 0, session.said
  return folder / "run"


def _assert_same(run: pathlib.Path, whole: pathlib.Path) -> None:
  tiny.assert_same_models(run, whole)
  assert tiny.rows(run / "metrics.csv", "seconds") == tiny.rows(whole / "metrics.csv", "seconds")
  assert tiny.read_json(run / "evaluation.json") == tiny.read_json(whole / "evaluation.json")
  for lines in run.rglob(sums.NAME):
    if "checkpoints" not in lines.parts:
      assert sums.damaged(lines.parent) == []


@contextlib.contextmanager
def _mounted(folder: pathlib.Path, kib: int):
  folder.mkdir()
  how = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
  if subprocess.run(how, capture_output=True).returncode:
    pytest.skip("a disk of a given size takes root and mount")
  try:
    yield
  finally:
    subprocess.run(["umount", str(folder)], check=True)


def _remount(folder: pathlib.Path, option: str) -> None:
  subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def _assert_one_line(session) -> None:
  errors = [line for line in session.said.splitlines() if line.startswith("error: ")]
  assert session.code == 2 and len(errors) == 1 and "Traceback" not in session.said, session.said
  print(errors[0])


def test_a_full_disk_that_grows(server, whole, tmp_path):
  """Whatever was being written: one line, and nothing that was computed is lost."""
  disk, kib, failures, rounds = tmp_path / "disk", 24, 0, 0
  with _mounted(disk, kib):
    while True:
      session = server.run("train", _words(disk))
      if session.code == 0:
        break
      _assert_one_line(session)
      assert not list(disk.rglob(".*.part"))
      states = list(disk.glob("run/checkpoints/program_state_?"))
      done = max((int(s.name[-1]) for s in states if (s / sums.NAME).is_file()), default=0)
      assert done >= rounds
      rounds, failures, kib = done, failures + 1, int(kib * 1.5)
      _remount(disk, f"size={kib}k")
    assert failures > 3
    _assert_same(disk / "run", whole)


def test_a_read_only_disk(server, whole, tmp_path):
  disk = tmp_path / "disk"
  with _mounted(disk, 8192):
    _remount(disk, "ro")
    _assert_one_line(server.run("train", _words(disk)))
    _remount(disk, "rw")
    assert server.run("train", _words(disk)).code == 0
    _remount(disk, "ro")
    _assert_one_line(server.run("train", _words(disk)))
    _assert_one_line(server.run("report", [str(disk / "run")]))
    _assert_one_line(server.run("export", [str(disk / "run")]))
    _assert_same(disk / "run", whole)


def _close_streams() -> None:
  for number in (0, 1, 2):
    os.close(number)
  sys.stdin = sys.stdout = sys.stderr = None


def test_closed_streams(server, whole, tmp_path):
  assert server.run("train", _words(tmp_path), setup=_close_streams).code == 0
  _assert_same(tmp_path / "run", whole)


def _empty_environment() -> None:
  for name in [name for name in os.environ if name not in ("PATH", "FEDSAFE_FAULTS")]:
    del os.environ[name]


def test_no_home_and_no_term(server, whole, tmp_path):
  session = server.run("train", _words(tmp_path), setup=_empty_environment)
  assert session.code == 0, session.said
  _assert_same(tmp_path / "run", whole)


def _no_capabilities() -> None:
  """Root is then a user as others are."""
  header = (ctypes.c_uint32 * 2)(0x20080522, 0)
  assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="to give a folder away takes root")
def test_no_rights(server, whole, tmp_path):
  shutil.copytree(whole, tmp_path / "run")
  for folder in (tmp_path / "run", *(p for p in (tmp_path / "run").rglob("*") if p.is_dir())):
    os.chown(folder, 54321, 54321)
    folder.chmod(0o555)
  for file in (p for p in (tmp_path / "run").rglob("*") if p.is_file()):
    os.chown(file, 54321, 54321)
  run = str(tmp_path / "run")
  for command, words in (("train", _words(tmp_path)), ("report", [run]), ("export", [run])):
    _assert_one_line(server.run(command, words, setup=_no_capabilities))
  other = tmp_path / "other"
  other.mkdir(mode=0o555)
  os.chown(other, 54321, 54321)
  _assert_one_line(server.run("train", _words(other), setup=_no_capabilities))


def _clock_goes_back() -> None:
  real, calls = time.time, iter(range(10**9))
  time.time = lambda: real() - 3600 * next(calls)

  class Backwards(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
      return super().now(tz) - datetime.timedelta(hours=next(calls))

  datetime.datetime = Backwards


def test_a_clock_that_goes_back(server, whole, tmp_path):
  session = server.run("train", _words(tmp_path), setup=_clock_goes_back)
  assert session.code == 0, session.said
  _assert_same(tmp_path / "run", whole)
  again = server.run("train", _words(tmp_path))
  assert again.code == 0 and "this run is complete" in again.said
