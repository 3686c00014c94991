"""A real browser for the tests of pages: Chromium, headless and without a network, driven through a pipe."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """An open page, and what it complained about."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._left, self._count = send, receive, b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol, and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            read = os.read(self._receive, 1 << 20)
            assert read, "the browser ended"
            self._left += read
        text, _, self._left = self._left.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        method, given = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.complaints.append(given["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(given["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])

    def open(self, path: Path, width: int = 1400, height: int = 900) -> None:
        """Load a file, and wait until its scripts have run."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._note(event)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + 60
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)

    def drag(self, start: tuple[float, float], end: tuple[float, float], count: int = 1) -> None:
        """Press the mouse at a place of the window, move it, let it go; 2 is the second press of a double-click."""
        places = {"mousePressed": start, "mouseMoved": end, "mouseReleased": end}
        for kind, (x, y) in places.items():
            pressed = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": count}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def swipe(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Move a finger over the page in steps; a tap if it stays where it is."""
        steps = [tuple(a + (b - a) * part / 8 for a, b in zip(start, end, strict=True)) for part in range(9)]
        for kind, places in (("Start", steps[:1]), ("Move", steps[1:] * (start != end)), ("End", [()])):
            for place in places:
                points = [dict(zip("xy", place, strict=True))] if place else []
                self.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        self.evaluate("new Promise(done => setTimeout(done, 500))")
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A browser with one tab, whose files are kept in `profile`."""
    assert CHROMIUM is not None
    to_read, send = os.pipe()
    receive, to_write = os.pipe()
    # The browser reads commands from descriptor 3 and writes to 4.
    command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
        "--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}",
    ]  # fmt: skip
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", str(to_read), str(to_write), CHROMIUM, *options],
        pass_fds=(to_read, to_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        opened = Tab(send, receive)
        yield opened
        opened._session = None
        with suppress(AssertionError, OSError):
            opened.call("Browser.close")
    finally:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(send)
        os.close(receive)
