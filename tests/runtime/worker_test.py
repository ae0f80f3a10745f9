import subprocess
import threading
import time

import portpicker
import psutil
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import own_network
from fedsafe_tff.runtime import worker as worker_lib
from fedsafe_tff.runtime.worker import Worker


def test_listens_in_a_session_of_its_own_and_ends(tmp_path):
  worker = Worker(tmp_path / "new" / "worker.log", threads=3)
  try:
    process = psutil.Process(worker.pid)
    assert own_network.listens(worker.pid, worker.port)
    assert process.environ()["TF_NUM_INTRAOP_THREADS"] == "3"
    assert process.cmdline()[0].endswith("worker_binary")
    assert psutil.Process().terminal() is None or process.terminal() is None
    files = [file.path for file in process.open_files()]
    assert str(tmp_path / "new" / "worker.log") in files
  finally:
    worker.close()
  assert not worker.alive()
  assert worker.exit_code() == -9
  worker.close()


def test_a_port_taken_by_another_worker_is_left_to_it(tmp_path, monkeypatch):
  monkeypatch.setattr(own_network, "possible", lambda: False)  # in its own network it has all
  # gRPC would share the port: half of our requests would go to somebody else's worker.
  taken, free = portpicker.pick_unused_port(), portpicker.pick_unused_port()
  other = subprocess.Popen([str(worker_lib.binary_path()), f"--port={taken}"])
  try:
    while taken not in [c.laddr.port for c in psutil.Process(other.pid).net_connections()]:
      time.sleep(0.05)
    ports = iter([taken, free])
    monkeypatch.setattr(portpicker, "pick_unused_port", lambda: next(ports))
    worker = Worker(tmp_path / "worker.log")
    worker.close()
    assert worker.port == free
  finally:
    other.kill()
    other.wait()


def test_what_keeps_it_from_starting_is_a_user_error(tmp_path, monkeypatch):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="log"):
    Worker(tmp_path / "file" / "worker.log")
  monkeypatch.setattr(worker_lib, "binary_path", lambda: "/bin/false")
  with pytest.raises(UserError, match="exit code 1"):
    Worker(tmp_path / "worker.log")


def test_refuses_another_thread(tmp_path):
  errors = []

  def start():
    try:
      Worker(tmp_path / "worker.log")
    except RuntimeError as error:
      errors.append(error)

  thread = threading.Thread(target=start)
  thread.start()
  thread.join()
  assert len(errors) == 1
