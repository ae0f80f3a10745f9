import errno
import os
import pathlib
import subprocess
import sys
import warnings

import pytest

from fedsafe_tff.commands import compare, main, origin, report, train
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runtime.failures import ComputationFailed, advice


@pytest.fixture
def leave(monkeypatch, capsys):
  """Runs work that does or raises as told; returns exit code, stdout and stderr."""

  def run(outcome=None, words=()):
    def work(arguments):
      assert list(arguments) == list(words)
      print("worked")
      if isinstance(outcome, BaseException):
        raise outcome
      return outcome

    monkeypatch.setattr(sys, "argv", ["program", *words])
    with pytest.raises(SystemExit) as left:
      main.run(work)
    return left.value.code, *capsys.readouterr()

  return run


@pytest.mark.parametrize("result, code", [(None, 0), (0, 0), (1, 1)])
def test_the_works_own_exit_code(leave, result, code):
  assert leave(result, ["--rounds=3", "x"]) == (code, "worked\n", "")


def test_a_user_error_is_one_line_and_exit_code_2(leave):
  code, out, err = leave(UserError("--rounds=0 is\n  out of   range"))
  assert (code, out) == (2, "worked\n")
  assert err == "error: --rounds=0 is out of range\n"


def test_a_full_disk_is_one_line_and_exit_code_2(leave):
  code, _, err = leave(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/metrics.csv"))
  assert code == 2
  assert err.startswith("error: the disk is full (runs/a/metrics.csv)") and err.count("\n") == 1


def test_a_home_that_is_not_there_is_one_line_and_exit_code_2(leave, monkeypatch):
  monkeypatch.delenv("HOME", raising=False)
  monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without a name
  with pytest.raises(RuntimeError) as caught:
    pathlib.Path("~/runs").expanduser()
  code, _, err = leave(caught.value)
  assert code == 2 and err.startswith("error: ~ stands for no folder") and err.count("\n") == 1


def test_a_notice_is_one_line(leave, monkeypatch, capsys):
  with warnings.catch_warnings():
    assert leave(None)[0] == 0
    for _ in range(2):  # every one is told
      warnings.warn("a.json is damaged:\n  made anew", Notice, stacklevel=1)
  assert capsys.readouterr().err == 2 * "note: a.json is damaged: made anew\n"


def test_a_keyboard_interrupt_is_one_line_and_exit_code_1(leave):
  code, _, err = leave(KeyboardInterrupt())
  assert code == 1
  assert err.startswith("error: stopped") and err.count("\n") == 1


def test_out_of_memory_is_named(leave):
  code, _, err = leave(MemoryError("Unable to allocate 9 TiB"))
  assert code == 1 and err.startswith("error: out of memory (Unable to allocate 9 TiB): lower")
  kind = type("ResourceExhaustedError", (Exception,), {})  # TensorFlow's, by its name
  code, _, err = leave(kind("OOM when\nallocating"))
  assert code == 1 and err.startswith("error: out of memory (OOM when allocating)")


def test_a_failed_computation_is_one_line(leave):
  code, _, err = leave(ComputationFailed("client 3, round 2: NotFoundError: x"))
  assert (code, err) == (1, "error: client 3, round 2: NotFoundError: x\n")
  gone = "/c/shards/ab/client_00001.images; No such file or directory"
  assert "the cache was deleted" in advice(gone) and advice("No such file or directory: a") == ""
  assert "lower --batch_size" in advice("OOM when allocating tensor")


@pytest.mark.parametrize("close", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_nothing(close):
  command = f"{sys.executable} -m fedsafe_tff.commands.cli --help {close}"
  done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
  assert (done.returncode, done.stderr) == (0, "")


def test_names_that_are_no_utf_8_can_be_printed():
  script = "from fedsafe_tff.commands import main; main.run(lambda words: print(words[0]))"
  environment = os.environ | {"LC_ALL": "C.UTF-8"}
  command = [sys.executable, "-c", script, b"a\xffb"]
  done = subprocess.run(command, capture_output=True, env=environment)
  assert (done.returncode, done.stdout) == (0, b"a\\udcffb\n")


def test_an_address_space_below_that_of_the_libraries_is_told_before_they_die_of_it():
  command = f"ulimit -v 2000000; exec {sys.executable} -m fedsafe_tff.commands.train"
  done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
  assert done.returncode == 2 and done.stderr.count("\n") == 1
  assert done.stderr.startswith("error: out of memory: the address space is limited to 1.9 GiB")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("a bug")])
def test_what_the_user_cannot_mend_keeps_its_traceback(monkeypatch, error):
  def work(arguments):
    raise error

  with pytest.raises(type(error)) as caught:
    main.run(work)
  assert caught.value is error


def binary(module, *words):
  command = [sys.executable, "-m", module.__name__, *words]
  return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
  "module, words, message",
  [
    (train, ["--attack_eps=-1"], "--attack_eps=-1.0 is out of range"),
    (train, ["--flagfile=none.flags"], "none.flags is not a file"),
    (report, [], "give one or more run folders"),
    (report, ["none"], "none is not a run folder"),
    (compare, [], "give run folders"),
    (compare, ["none"], "none is not a run folder"),
    (origin, [], "give run folders"),
    (origin, ["none"], "none is not a run folder"),
  ],
)
def test_binaries_print_one_line_for_a_wrong_command(module, words, message):
  done = binary(module, *words)
  assert done.returncode == 2 and done.stdout == ""
  assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
  assert message in done.stderr


@pytest.mark.parametrize("module", [train, report, compare, origin])
def test_binaries_have_help(module):
  done = binary(module, "--help")
  assert done.returncode == 0 and done.stderr == ""
  name = module.__name__.rsplit(".", 1)[1]
  assert f"python -m experiments.{name}" in done.stdout


def test_a_reader_that_leaves_ends_the_program_without_a_traceback():
  command = [sys.executable, "-m", train.__name__, "--help"]
  reader, writer = os.pipe()
  os.close(reader)
  done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
  os.close(writer)
  assert (done.returncode, done.stderr) == (1, "")
