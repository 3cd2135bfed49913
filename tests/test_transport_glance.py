"""What is said of a delivery whose connection broke while it was written."""

import errno
from datetime import timedelta

import aiohttp
import pytest

from watcher.core.wire import Fault, NoAnswer, Request
from watcher.transport import open_transport

AMPLE = timedelta(seconds=10)
GLANCE = 2048


@pytest.mark.parametrize("code", [errno.ECONNRESET, None])
async def test_no_word_of_the_url_is_in_what_went_wrong_while_a_body_was_sent(
    code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's own words for a broken write hold the whole URL; when it breaks so is a matter of timing."""

    def break_off(*_: object, **__: object) -> None:
        words = "Can not write request body for https://example.com/hook?token=CANARY"
        raise aiohttp.ClientOSError(code, words) if code else aiohttp.ClientOSError(words)

    monkeypatch.setattr(aiohttp.ClientSession, "request", break_off)
    async with open_transport(glance=GLANCE) as transport:
        answer = await transport.send(Request("POST", "https://example.com/hook?token=CANARY"), within=AMPLE)
    assert isinstance(answer, NoAnswer)
    assert answer.fault is Fault.CONNECTION
    assert "CANARY" not in answer.detail
