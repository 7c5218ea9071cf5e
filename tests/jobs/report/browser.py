"""A headless Chromium or Chrome, if there is one, driven by its own debugging protocol."""

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as in a container, has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-port=0",
)
START_S = 60


def find_browser() -> str:
    """The browser's program, '' without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


class Tab:
    """One page. `events` are what it said meanwhile: requests, logs, exceptions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.numbers = socket, itertools.count(1)
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self.socket.receive()).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def value(self, script: str) -> Any:
        """What a script evaluates to; a promise is waited for."""
        result = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def open(self, path: Path, width: int, scheme: str) -> None:
        """Load a file at a width in CSS pixels, light or dark."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme_is = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=scheme_is)
        await self.call("Page.navigate", url=path.as_uri())
        for _ in range(200):
            if await self.value("document.readyState") == "complete":
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the page did not load within 20 s")

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        sent = (e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent")
        return [event["request"]["url"] for event in sent]

    def complaints(self) -> list[str]:
        """What the browser refused, and scripts that failed."""
        logs = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [f"{log['level']}: {log['text']}" for log in logs] + [str(e) for e in thrown]


@asynccontextmanager
async def tab(program: str):
    """A browser with one empty page; it ends with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address = await asyncio.wait_for(asyncio.to_thread(listening, process), START_S)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{address}/json") as answer:
                    pages = [page for page in await answer.json() if page["type"] == "page"]
                async with session.ws_connect(
                    pages[0]["webSocketDebuggerUrl"], max_msg_size=0
                ) as socket:
                    yield Tab(socket)
        finally:
            process.terminate()
            process.wait(20)


def listening(process: subprocess.Popen) -> str:
    """Host and port of the browser's debugging protocol, once it says them."""
    for line in process.stderr:
        if found := re.search(r"ws://([^/\s]+)/", line):
            return found[1]
    raise AssertionError("the browser ended before it listened")
