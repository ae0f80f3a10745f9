"""Ray: the package, a cluster that runs or is started here, and who can reach its dashboard."""

import contextlib
import ipaddress
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any

from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime.failures import one_line

_CONNECT_SECONDS = 20.0


def import_ray() -> Any:
  """The package.

  Raises:
    UserError: It is not installed.
  """
  os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send reports
  os.environ.setdefault("RAY_enable_metrics_collection", "0")  # else it warns: no agent
  try:
    import ray
  except ImportError as error:
    raise UserError(
      f"--runtime=ray needs Ray ({error}): "
      "pip install --no-deps --require-hashes -r requirements-ray.txt"
    ) from None
  return ray


def connect(ray: Any, address: str, log: Callable[[str], None]) -> None:
  """Connects to a cluster.

  Args:
    ray: The package.
    address: The cluster, as `ray.init` takes it; empty starts one on this machine.
    log: Is told where its dashboard is open to others.

  Raises:
    UserError: There is none.
  """
  settings = {"log_to_driver": False, "configure_logging": False}
  if not address:
    settings |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
  # Ray handles SIGTERM in a way of its own, which would take the place of our clean stop.
  main = threading.current_thread() is threading.main_thread()
  handler = signal.getsignal(signal.SIGTERM) if main else None
  try:
    _check_listens(address)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", FutureWarning)  # about GPUs that actors did not ask for
      context = ray.init(address=address or "local", **settings)
    if warning := open_dashboard(getattr(context, "dashboard_url", "")):
      log(warning)
  except (ConnectionError, RuntimeError, ValueError, OSError) as error:
    where = f"--ray_address={address}" if address else "on this machine"
    raise UserError(f"no Ray cluster {where}: {one_line(error)[:300]}") from error
  finally:
    if main:
      signal.signal(signal.SIGTERM, handler)


def open_dashboard(url: str | None) -> str:
  """A warning where Ray's dashboard, which runs what it is sent, can be reached from elsewhere."""
  host = (url or "").partition("//")[2] or url or ""
  host = host.partition("/")[0].rpartition(":")[0].strip("[]")
  with contextlib.suppress(ValueError):
    if ipaddress.ip_address(host).is_loopback:
      return ""
  if host in ("", "localhost"):
    return ""
  return (
    f"WARNING: Ray's dashboard is open at {url}, not on loopback alone: whoever reaches it can run "
    "code on the cluster; start Ray with --dashboard-host=127.0.0.1 or --include-dashboard=false, "
    "or firewall it"
  )


def _check_listens(address: str) -> None:
  """Raises an OSError where nothing listens: `ray.init` would try for many minutes."""
  host, _, port = address.removeprefix("ray://").rpartition(":")
  if host and port.isdigit():
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
