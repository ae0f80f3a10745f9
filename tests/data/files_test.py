import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from fedsafe_tff.data import files
from fedsafe_tff.errors import Notice, UserError
from tests.source_tree import ROOT

_KILLED = """
import os, pathlib, signal, sys
from fedsafe_tff.data import files
path = pathlib.Path(sys.argv[1])
with files.atomic_path(path) as file, files.atomic_folder(path.with_name("folder")) as folder:
  file.write_text("half")
  (folder / "part").write_text("half")
  os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path):
  done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], cwd=ROOT)
  assert done.returncode < 0


def test_what_a_killed_program_left_goes_with_the_next_write(tmp_path, monkeypatch):
  path = tmp_path / "x.json"
  path.write_text("before")
  killed(path)
  assert len(os.listdir(tmp_path)) == 3 and path.read_text() == "before"
  monkeypatch.setattr(files, "_swept", set())
  with files.atomic_path(path) as temporary:
    temporary.write_text("after")
    # That of another process at work stays.
    files.sweep(tmp_path, below=True)
    assert temporary.exists()
  assert os.listdir(tmp_path) == ["x.json"] and path.read_text() == "after"


def test_folders_below_are_swept_and_others_files_stay(tmp_path):
  (tmp_path / "a" / "b").mkdir(parents=True)
  killed(tmp_path / "a" / "b" / "y")
  other = tmp_path / "a" / ".not-ours"
  other.touch()
  files.sweep(tmp_path, below=True)
  assert os.listdir(tmp_path / "a" / "b") == [] and other.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_what_can_not_be_written_is_one_line_and_leaves_what_was_there(tmp_path, number):
  path = tmp_path / "x.json"
  path.write_text("before")
  with pytest.raises(UserError, match=f"can't write {path}.*{os.strerror(number)}"):
    with files.atomic_path(path, summed=True) as temporary:
      temporary.write_text("half")
      raise OSError(number, os.strerror(number))
  assert path.read_text() == "before" and os.listdir(tmp_path) == ["x.json"]


def test_a_second_process_is_refused_or_waits(tmp_path):
  lock = tmp_path / ".lock"
  told = threading.Event()
  with lock.open("a") as held:
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="^taken$"), files.locked(lock, "taken"):
      pass
    release = threading.Thread(
      target=lambda: (told.wait(10), fcntl.flock(held, fcntl.LOCK_UN)), daemon=True
    )
    release.start()
    with files.locked(lock, "taken", wait=lambda text: told.set()):
      assert told.is_set()
    release.join()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_and_goes_on(tmp_path, monkeypatch, number):
  def refuse(*_):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, "flock", refuse)
  with pytest.warns(Notice, match="without locks"), files.locked(tmp_path / ".lock", "taken"):
    with files.atomic_path(tmp_path / "x", summed=True) as temporary:
      temporary.write_text("x")
      files.sweep(tmp_path)  # what can't be told to be left by another stays
  assert (tmp_path / "x").read_text() == "x"
