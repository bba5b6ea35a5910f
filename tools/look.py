"""Open a page in headless Chromium and say what a reader would stumble over.

``python tools/look.py results/demo/report.html --out shots`` prints, for each width, errors on the
console, requests to anything but the page itself, and by how much the page is wider than the
window, and keeps screenshots of the whole page.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (1280, 420)
HEIGHT = 900
# A taller page is kept in several pictures.
TALLEST = 6_000
SECONDS = 60


@dataclass
class Visit:
    """What happened when a page was opened.

    Attributes
    ----------
    errors : list of str
        Errors and warnings on the console, and exceptions.
    requests : list of str
        Addresses asked for, but for the page itself and data that stands in it.
    overflow : int
        Pixels by which the page is wider than the window.
    answer : object
        What the expression asked for gives on the page.
    """

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    overflow: int = 0
    answer: Any = None


def find_chromium() -> str | None:
    """The first Chromium on the path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Chromium:
    """A headless Chromium, spoken to over a pipe in its DevTools protocol."""

    def __init__(self, program: str, folder: str) -> None:
        self._number = 0
        self._text = b""
        self.events: list[dict[str, Any]] = []
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        # It reads from descriptor 3 and writes to 4, and takes a host that is asked for as absent.
        command = (
            f"exec 3<&{theirs_in} 4>&{theirs_out}; exec {program} --headless --no-sandbox "
            "--disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
            "--disable-component-update --disable-extensions --hide-scrollbars "
            "--host-resolver-rules='MAP * ~NOTFOUND' "
            f"--user-data-dir={folder} --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def ask(self, method: str, session: str | None = None, **values: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self.events.append(told)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']['message']}")
        return told["result"]

    def wait_for(self, method: str) -> None:
        """Wait for an event."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._text:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            part = os.read(self._read, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError(f"Chromium has said nothing for {SECONDS} s, or has ended")
            self._text += part
        told, _, self._text = self._text.partition(b"\0")
        return json.loads(told)


@contextmanager
def chromium(program: str) -> Iterator[Chromium]:
    """A running Chromium with a profile of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Chromium(program, folder)
        try:
            yield browser
        finally:
            browser.close()


def visit(
    browser: Chromium,
    page: str | Path,
    width: int,
    picture: str | Path | None = None,
    expression: str = "null",
) -> Visit:
    """Open a page at a width.

    Parameters
    ----------
    browser : Chromium
    page : path
    width : int
        Of the window in CSS pixels.
    picture : path, optional
        Where to keep a screenshot of the page, a PNG; of a tall one ``NAME.2.png`` and so on go on.
    expression : str
        JavaScript to evaluate once the page is there, for ``Visit.answer``.
    """
    address = Path(page).resolve().as_uri()
    browser.events.clear()
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.ask(f"{domain}.enable", session)
    window = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.ask("Emulation.setDeviceMetricsOverride", session, **window)
    browser.ask("Page.navigate", session, url=address)
    browser.wait_for("Page.loadEventFired")

    def evaluate(text: str) -> Any:
        given = browser.ask("Runtime.evaluate", session, expression=text, returnByValue=True)
        return given["result"].get("value")

    found = Visit(answer=evaluate(expression))
    wide = "document.documentElement.scrollWidth - window.innerWidth"
    found.overflow = max(0, evaluate(wide))
    if picture is not None:
        tall = evaluate("document.documentElement.scrollHeight")
        for part, top in enumerate(range(0, tall, TALLEST), start=1):
            piece = {"x": 0, "y": top, "width": width, "height": min(TALLEST, tall - top)}
            words = {"captureBeyondViewport": True, "clip": {**piece, "scale": 1}}
            shot = browser.ask("Page.captureScreenshot", session, **words)
            name = Path(picture) if part == 1 else Path(picture).with_suffix(f".{part}.png")
            name.write_bytes(base64.b64decode(shot["data"]))
    for event in browser.events:
        _note(found, event, address)
    browser.ask("Target.closeTarget", targetId=target)
    return found


def _note(found: Visit, event: dict[str, Any], address: str) -> None:
    told = event.get("params", {})
    match event.get("method"):
        case "Network.requestWillBeSent":
            url = told["request"]["url"]
            if url != address and not url.startswith("data:"):
                found.requests.append(url)
        case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
            found.errors.append(told["entry"]["text"])
        case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
            found.errors.append(" ".join(str(part.get("value")) for part in told["args"]))
        case "Runtime.exceptionThrown":
            found.errors.append(told["exceptionDetails"]["text"])


def main() -> None:
    """Visit the pages named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="folder for screenshots")
    options = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit(f"no Chromium on the path; looked for {', '.join(NAMES)}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    worst = 0
    with chromium(program) as browser:
        for page in options.pages:
            for width in WIDTHS:
                shot = options.out / f"{page.stem}_{width}.png" if options.out else None
                found = visit(browser, page, width, shot)
                print(f"{page} at {width}: {found}")
                worst |= bool(found.errors or found.requests or found.overflow)
    sys.exit(worst)


if __name__ == "__main__":
    main()
