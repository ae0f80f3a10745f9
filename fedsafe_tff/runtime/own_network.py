"""A network namespace for a child process, and a way into it that has no port.

A server that can only listen on all interfaces listens on all of a namespace that has loopback
alone. The way in is a socket of the abstract UNIX kind, made outside and passed on: a relay in the
namespace takes its connections from this user only and hands their bytes to the server. There is no
file to be left behind, and the relay ends with the server.
"""

import functools
import os
import pathlib
import secrets
import socket
import subprocess
import sys

# Runs in the child: `enter(handle, port)` goes into the namespace and starts the relay. As root
# without a user namespace, in which root could not read what other users own; others need one.
LAUNCHER = """
import ctypes, fcntl, os, signal, socket, struct, sys, threading, time

def enter(handle, port):
  if int(handle) < 0:
    return
  libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
  if libc.unshare(0x40000000):  # CLONE_NEWNET
    if libc.unshare(0x40000000 | 0x10000000):  # and CLONE_NEWUSER
      sys.exit("no network namespace: " + os.strerror(ctypes.get_errno()))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                       ("gid_map", f"{gid} {gid} 1")):
      with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:  # loopback up
    request = struct.pack("16sH14x", b"lo", 0)
    flags = struct.unpack("16sH14x", fcntl.ioctl(some, 0x8913, request))[1]
    fcntl.ioctl(some, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))
  server = os.getpid()
  if os.fork():
    os.close(int(handle))
    return
  libc.prctl(1, signal.SIGKILL, 0, 0, 0)
  if os.getppid() != server:
    os._exit(0)
  relay(socket.socket(fileno=int(handle)), int(port))

def relay(entry, port):
  while True:
    outer, _ = entry.accept()
    _, uid, _ = struct.unpack("3i", outer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid != os.getuid():
      outer.close()
      continue
    try:
      inner = socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError:
      outer.close()
      continue
    inner.settimeout(None)
    inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for pair in ((outer, inner), (inner, outer)):
      threading.Thread(target=pump, args=pair, daemon=True).start()

def pump(source, sink):
  buffer = memoryview(bytearray(1 << 20))
  try:
    while count := source.recv_into(buffer):
      sink.sendall(buffer[:count])
  except OSError:
    pass
  for one in (source, sink):
    try:
      one.shutdown(socket.SHUT_RDWR)
    except OSError:
      pass
"""

_LISTEN = "0A"  # a state in /proc/PID/net/tcp


@functools.cache
def possible() -> bool:
  """Whether this system gives this user a network namespace."""
  script = LAUNCHER + "\nhandle = os.dup(0)\nenter(str(handle), '1')\n"
  command = [sys.executable, "-I", "-S", "-c", script]
  try:
    run = subprocess.run(command, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
  except (OSError, subprocess.SubprocessError):
    return False
  return run.returncode == 0


class Entry:
  """The way in, to be passed on to the child.

  Attributes:
    target: What a gRPC channel takes.
  """

  def __init__(self):
    name = f"fedsafe-{os.getpid()}-{secrets.token_hex(8)}"
    self.target = f"unix-abstract:{name}"
    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    self._socket.bind(f"\0{name}")
    self._socket.listen()

  def fileno(self) -> int:
    """Its file descriptor."""
    return self._socket.fileno()

  def close(self) -> None:
    """Closes it; a second call does nothing."""
    self._socket.close()


def listens(pid: int, port: int) -> bool:
  """Whether something listens on a TCP port in the network of a process."""
  return any(found == port for _, found in listening(pid))


def listening(pid: int) -> list[tuple[str, int]]:
  """(address, port) of the listening TCP sockets in the network of a process; address as hex."""
  found = []
  for kind in ("tcp", "tcp6"):
    try:
      lines = pathlib.Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]
    except OSError:
      continue
    for words in map(str.split, lines):
      address, _, port = words[1].rpartition(":")
      if words[3] == _LISTEN:
        found.append((address, int(port, 16)))
  return found
