"""A browser without a screen, driven by its own protocol over two pipes: no port, no library."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 60.0


def program() -> str | None:
  """The browser that is installed, if any."""
  return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
  """A page in a headless Chromium; a context manager."""

  def __enter__(self) -> "Browser":
    self._folder = tempfile.mkdtemp(prefix="fedsafe-browser-")
    take, give = os.pipe(), os.pipe()  # what it reads, what it writes
    for handle in (take[0], give[1]):
      os.set_inheritable(handle, True)
    moves = ((take[0], 103), (give[1], 104), (103, 3), (104, 4))  # its ends may be 3 or 4 already
    start = "".join(f"os.dup2({old}, {new});" for old, new in moves)
    start = f"import os, sys; {start} os.execv(sys.argv[1], sys.argv[1:])"
    self._process = subprocess.Popen(
      [
        sys.executable, "-c", start, program(), "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
        "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={self._folder}",
        "--window-size=1280,900", "about:blank",
      ],
      pass_fds=(take[0], give[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(take[0])
    os.close(give[1])
    self._out, self._in, self._rest = take[1], give[0], b""
    self._number, self._session, self.events = 0, None, []
    target = self.send("Target.createTarget", url="about:blank")["targetId"]
    attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self.send(f"{domain}.enable")
    self.send(
      "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1,
      mobile=False,
    )
    return self

  def __exit__(self, *error) -> None:
    for handle in (self._out, self._in):
      os.close(handle)
    os.killpg(self._process.pid, signal.SIGKILL)  # its helpers are in its session
    self._process.wait()
    for _ in range(20):
      shutil.rmtree(self._folder, ignore_errors=True)
      if not os.path.exists(self._folder):
        break
      time.sleep(0.1)

  def _message(self) -> dict[str, Any]:
    while b"\0" not in self._rest:
      part = os.read(self._in, 1 << 20)
      if not part:
        raise RuntimeError("the browser has ended")
      self._rest += part
    raw, _, self._rest = self._rest.partition(b"\0")
    return json.loads(raw)

  def send(self, method: str, **parameters: Any) -> dict[str, Any]:
    """A command's answer; events that come before it are kept."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._out, json.dumps(message).encode() + b"\0")
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
      found = self._message()
      if found.get("id") == self._number:
        if "error" in found:
          raise RuntimeError(f"{method}: {found['error']}")
        return found["result"]
      self.events.append(found)
    raise TimeoutError(method)

  def open(self, page: pathlib.Path) -> float:
    """Opens a file; returns the seconds until it is loaded."""
    begun = time.monotonic()
    self.send("Page.navigate", url=page.resolve().as_uri())
    while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
      self.events.append(self._message())
    return time.monotonic() - begun

  def told(self, *methods: str) -> list[dict[str, Any]]:
    """What came of some kinds of events."""
    return [event["params"] for event in self.events if event.get("method") in methods]

  def evaluate(self, script: str) -> Any:
    """The value of a JavaScript expression."""
    answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
    assert "exceptionDetails" not in answer, answer
    return answer["result"].get("value")

  def tab(self) -> str:
    """Presses Tab; returns what has the focus then."""
    for kind in ("rawKeyDown", "keyUp"):
      self.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                windowsVirtualKeyCode=9)  # fmt: skip
    return self.evaluate(
      "(e => e === document.body ? '' : e.tagName + (e.innerText || '').slice(0, 40))"
      "(document.activeElement)"
    )
