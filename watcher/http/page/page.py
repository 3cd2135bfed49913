"""Serving the page: its files, read once, under a policy that lets nothing else in. There is no data in them."""

from functools import partial
from importlib.resources import files
from pathlib import PurePath

from aiohttp import web

from watcher.http.answers import written
from watcher.http.route import Route

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {file.name: file.read_bytes() for file in files(__package__).iterdir() if PurePath(file.name).suffix in TYPES}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
OPEN, NEEDED = b'data-token="open"', b'data-token="needed"'


class PageRoutes:
    """The routes of the page. They need no token: whoever has it types it there."""

    def __init__(self, *, has_token: bool) -> None:
        self._html = FILES["page.html"].replace(OPEN, NEEDED if has_token else OPEN, 1)

    def routes(self) -> list[Route]:
        """List the one that people go to."""
        return [self._route("/", "page.html", self._html)]

    def parts(self) -> list[Route]:
        """List those that the page itself asks for."""
        return [self._route(f"/page/{name}", name, body) for name, body in FILES.items() if name != "page.html"]

    def _route(self, path: str, name: str, body: bytes) -> Route:
        content = f"{TYPES[PurePath(name).suffix]}; charset=utf-8"
        return Route(
            path=path,
            summary="A page for people. Needs no token.",
            call=partial(_send, body=body, content=content),
            answers={200: None},
            content=content,
            is_public=True,
        )


async def _send(_request: web.Request, *, body: bytes, content: str) -> web.Response:
    return written(body, content=content, headers=HEADERS)
