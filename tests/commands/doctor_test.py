import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import doctor
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import diagnostics
from fedsafe_tff.runs.diagnostics import Check


@pytest.fixture
def quick(monkeypatch):
  """Replaces the checks that are tested elsewhere; returns the time limits that were passed on."""
  limits = []
  for name in ("versions", "memory", "disk", "devices"):
    monkeypatch.setattr(
      diagnostics, f"check_{name}", lambda name=name: Check(name, True, "as it should be")
    )
  monkeypatch.setattr(
    diagnostics, "check_tff", lambda limit: limits.append(limit) or Check("tff", True, "ran")
  )
  return limits


def test_a_line_per_check_and_exit_code_0(quick, tmp_path, capsys):
  for name in ("a", "b"):
    (tmp_path / name).mkdir()
    PIL.Image.fromarray(np.zeros([4, 4], np.uint8)).save(tmp_path / name / "1.png")
  code = doctor.doctor(["--time_limit=5", f"--data_dir={tmp_path}", f"--data_dir={tmp_path}"])
  lines = capsys.readouterr().out.splitlines()
  assert code == 0
  assert quick == [5.0]
  assert len(lines) == 7
  assert all(line.startswith("ok   ") for line in lines)


def test_exit_code_1_when_one_check_fails(quick, tmp_path, capsys):
  assert doctor.doctor([f"--data_dir={tmp_path / 'missing'}"]) == 1
  lines = capsys.readouterr().out.splitlines()
  assert [line[:4] for line in lines] == ["ok  "] * 5 + ["FAIL"]


@pytest.mark.parametrize("argument", ["--time_limit=0", "--time_limits=9", "--time_limit=soon"])
def test_a_bad_flag_is_a_user_error(argument):
  with pytest.raises(UserError, match="time_limit"):
    doctor.doctor([argument])


def test_help_imports_no_tensorflow():
  program = (
    "import sys\nfrom fedsafe_tff.commands import doctor\ncode = doctor.doctor(['--help'])\n"
    "assert code == 0 and 'tensorflow' not in sys.modules and 'numpy' not in sys.modules"
  )
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
  assert "--data_dir" in done.stdout


def test_a_real_run_without_stand_ins():
  environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
  command = [sys.executable, "-m", "experiments.doctor"]
  done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
  # Memory or disk may be short where the tests run; the other checks must pass.
  lines = dict(line[5:].split(": ", 1) for line in done.stdout.splitlines())
  assert list(lines) == ["versions", "memory", "disk", "devices", "tff"], done.stderr
  assert "ran in the worker" in lines["tff"]
  assert done.returncode == (1 if "FAIL" in done.stdout else 0)
  assert done.stderr == ""
