"""A real headless browser, driven over its DevTools protocol: what the tests of the page look through."""

import base64
import itertools
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import orjson
from tools import tool

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--disable-extensions", "--remote-debugging-address=127.0.0.1", "--remote-debugging-port=0"),
)
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " ")}
LISTEN = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


PLACE = """
(() => {
  const found = document.querySelector(SELECTOR);
  found.scrollIntoView({ block: "center", behavior: "instant" });
  const box = found.getClientRects()[0];
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return new Promise((resolve) => requestAnimationFrame(() =>
    resolve(found.contains(document.elementFromPoint(x, y)) ? [x, y] : null)));
})()
"""


@contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """Run one browser with an empty profile; yield where it is driven, and end it, and only it."""
    process = subprocess.Popen(
        [tool("chromium", package="chromium"), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _address(process, folder / "DevToolsActivePort")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", told: Path) -> str:
    until = time.monotonic() + 30
    while not (told.exists() and told.read_text().count("\n")):
        assert process.poll() is None, "chromium ended"
        assert time.monotonic() < until, "chromium does not say where it listens"
        time.sleep(0.02)
    port, path = told.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


@dataclass
class Tab:
    """One tab with cookies and storage of its own; `complaints` are what the console said was wrong."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def listen(self) -> None:
        """Take in what the browser says, until it hangs up."""
        async for message in self.socket:
            said = orjson.loads(message.data)
            if "id" in said:
                self._answers[said["id"]] = said
                self._news.set()
                self._news = anyio.Event()
            elif said.get("sessionId") == self.session:
                self._hear(said["method"], said["params"])

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["exception"].get("description", "an exception"))
        if method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.complaints.append(" ".join(str(each.get("value")) for each in params["args"]))
        if method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call one method of the protocol."""
        number = next(self._numbers)
        whole = {"id": number, "method": method, "params": params}
        await self.socket.send_str(orjson.dumps(whole | ({"sessionId": self.session} if self.session else {})).decode())
        with anyio.fail_after(20):
            while number not in self._answers:
                await self._news.wait()
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    # --- looking --------------------------------------------------------------------------------------------------

    async def go(self, url: str) -> None:
        """Load a page; not again where only the part behind `#` is another."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def read(self, expression: str) -> Any:  # noqa: ANN401  # whatever a page can say
        """Evaluate an expression, which may be a promise."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]["exception"].get("description")
        return answer["result"].get("value")

    async def text(self, selector: str) -> str:
        """Return the text of an element as it is shown."""
        shown = await self.read(f"document.querySelector({orjson.dumps(selector).decode()})?.innerText ?? ''")
        return " ".join(str(shown).split())

    async def until(self, expression: str, *, within: float = 10) -> None:
        """Wait until an expression is true."""
        waited = anyio.current_time() + within
        while not await self.read(f"Boolean({expression})"):
            if anyio.current_time() > waited:
                raise AssertionError(f"{expression}: not within {within:g} s; the page says: {await self.text('body')}")
            await anyio.sleep(0.02)

    async def until_text(self, selector: str, part: str, *, within: float = 10) -> None:
        """Wait until an element says something."""
        quoted, wanted = orjson.dumps(selector).decode(), orjson.dumps(part).decode()
        await self.until(f"document.querySelector({quoted})?.innerText.includes({wanted})", within=within)

    async def screenshot(self, path: Path) -> None:
        """Keep what is seen, all of it."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await anyio.Path(path).write_bytes(base64.b64decode(shot["data"]))

    async def look(self, *, width: int = 1280, height: int = 900, scheme: str = "light", phone: bool = False) -> None:
        """Look through a window of this size, in a light or a dark room."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    # --- doing ----------------------------------------------------------------------------------------------------

    async def press(self, key: str, *, times: int = 1, shift: bool = False) -> None:
        """Press a key."""
        code, text = KEYS[key]
        held = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        for _ in range(times):
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **held)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **held)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def tab_to(self, selector: str, *, at_most: int = 60) -> None:
        """Press Tab until an element has the focus."""
        quoted = orjson.dumps(selector).decode()
        for _ in range(at_most):
            if await self.read(f"document.activeElement.matches({quoted})"):
                return
            await self.press("Tab")
        raise AssertionError(f"{selector}: not reached with Tab")

    async def click(self, selector: str) -> None:
        """Click where an element is."""
        script, box = PLACE.replace("SELECTOR", orjson.dumps(selector).decode()), None
        with anyio.fail_after(10):
            while (found := await self.read(script)) != box or box is None:
                box = found  # until nothing moves, and nothing lies over it
        place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **place)


@asynccontextmanager
async def tab(browser: str) -> AsyncIterator[Tab]:
    """Open a tab, and close it."""
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(browser, max_msg_size=0) as socket,
        anyio.create_task_group() as listening,
    ):
        opened = Tab(socket)
        listening.start_soon(opened.listen)
        context = (await opened.call("Target.createBrowserContext"))["browserContextId"]
        target = await opened.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await opened.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        opened.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await opened.call(f"{domain}.enable")
        await opened.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        await opened.look()
        yield opened
        opened.session = ""
        await opened.call("Target.disposeBrowserContext", browserContextId=context)
        listening.cancel_scope.cancel()
