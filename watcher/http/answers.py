"""Writing what went well: JSON made of a model."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel

from watcher.http.problems import HEADERS, JSON


def answer(model: BaseModel, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a model."""
    return written(model.model_dump_json().encode(), status=status, headers=headers)


def written(
    body: bytes, *, content: str = JSON, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with bytes that are ready; `content` is their whole type."""
    return web.Response(status=status, body=body, headers={**HEADERS, "Content-Type": content, **(headers or {})})
