"""Nothing of ours listens beyond loopback: the sockets of our processes say so."""

import os
import socket

import psutil
import pytest

from fedsafe_tff.runtime import own_network
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.runtime.native import NativeRuntime
from fedsafe_tff.runtime.ray_cluster import open_dashboard

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def network(pid: int) -> str:
  return os.readlink(f"/proc/{pid}/ns/net")


def open_to_others() -> list:
  """Listening TCP sockets of this process and its children that others can reach."""
  found = []
  for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
    if network(process.pid) != network(os.getpid()):
      continue  # whoever is not in it can't reach it: see below
    for connection in process.net_connections("tcp"):
      if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in LOOPBACK:
        found.append((process.name(), connection.laddr))
  return found


def test_the_look_at_the_sockets_sees_one_that_is_open():
  with socket.socket() as one:
    one.bind(("0.0.0.0", 0))
    one.listen()
    assert [address.port for _, address in open_to_others()] == [one.getsockname()[1]]
  assert not open_to_others()


def test_the_native_runtimes_worker_listens_in_a_network_that_has_loopback_alone(runtime):
  if not own_network.possible():
    pytest.skip("this system allows no network namespaces (unprivileged user namespaces)")
  pid = runtime.worker_pid
  assert network(pid) != network(os.getpid())
  assert own_network.listening(pid)  # on all interfaces, of which there is one:
  with open(f"/proc/{pid}/net/dev") as file:
    assert [line.split(":")[0].strip() for line in file.readlines()[2:]] == ["lo"]
  assert not open_to_others()


def test_the_device_runtime_has_no_port():
  with DeviceRuntime():
    assert not open_to_others()


def test_where_there_are_no_namespaces_the_user_is_told(tmp_path, monkeypatch):
  monkeypatch.setattr(own_network, "possible", lambda: False)
  told = []
  with NativeRuntime(tmp_path / "worker.log", log=told.append):
    assert len(open_to_others()) == 1
  assert len(told) == 1 and "all interfaces" in told[0] and "--runtime=device" in told[0]


@pytest.mark.parametrize(
  "url, warns",
  [
    ("10.0.0.5:8265", True), ("http://ray.hospital.org:8265/x", True), ("0.0.0.0:8265", True),
    ("127.0.0.1:8265", False), ("[::1]:8265", False), ("localhost:8265", False), ("", False),
    (None, False),
  ],
)  # fmt: skip
def test_rays_dashboard_beyond_loopback_is_told(url, warns):
  assert ("dashboard" in open_dashboard(url)) is warns
