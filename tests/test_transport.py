import asyncio
import gzip
import ssl
import zlib
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from aioresponses import aioresponses
from raw_server import answer, listening, saying

from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.transport import MOST_BYTES, open_transport

SOON = timedelta(seconds=5)


async def send(request: Request, *, limit: int = MOST_BYTES, within: timedelta = SOON) -> Response | NoAnswer:
    async with open_transport(limit=limit) as transport:
        return await transport.send(request, within=within)


async def get(url: str, *, limit: int = MOST_BYTES, within: timedelta = SOON) -> Response | NoAnswer:
    return await send(Request("GET", url), limit=limit, within=within)


def whole(response: Response | NoAnswer) -> Response:
    assert isinstance(response, Response), response
    return response


# --- what is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/channels/arn%3Aaws%3Achime%2F1%40x/messages/1?scope=message-status",
        "/a%2Fb%2e%2e/%7Euser/~user?q=a%20b+c&empty=&q=%3D",
        "/%E2%82%AC/%2525",
        "/",
    ],
)
async def test_the_address_goes_on_the_wire_byte_for_byte(target: str) -> None:
    async with listening(answer()) as server:
        await get(server.url + target)
    assert server.heads[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


async def test_a_get_carries_nothing_but_the_host() -> None:
    async with listening(answer()) as server:
        await get(f"{server.url}/x")
    assert server.heads == [f"GET /x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()]


async def test_a_post_carries_what_it_was_given_and_its_length() -> None:
    async with listening(answer()) as server:
        await send(Request("POST", f"{server.url}/x", {"User-Agent": "us", "webhook-id": "evt_1"}, b"\x00body"))
    lines = server.heads[0].decode().split("\r\n")
    expected = [f"Host: 127.0.0.1:{server.port}", "User-Agent: us", "webhook-id: evt_1", "Content-Length: 5"]
    assert (lines[0], sorted(filter(None, lines[1:]))) == ("POST /x HTTP/1.1", sorted(expected))
    assert server.bodies == [b"\x00body"]


async def test_a_post_without_a_body_says_so() -> None:
    async with listening(answer()) as server:
        await send(Request("POST", f"{server.url}/x"))
    assert b"Content-Length: 0\r\n" in server.heads[0]


async def test_a_large_body_is_sent_whole_and_warns_nobody() -> None:
    body = bytes(range(256)) * 12_000
    async with listening(answer()) as server:
        assert whole(await send(Request("POST", f"{server.url}/x", {}, body))).status == 200
    assert server.bodies == [body]


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening(answer(b"direct")) as server:
        assert whole(await get(server.url)).body == b"direct"


async def test_a_request_that_would_break_into_two_is_not_sent() -> None:
    async with listening(answer()) as server:
        for request in (
            Request("GET", f"{server.url}/x HTTP/1.1\r\nX: canary\r\n\r\n"),
            Request("GET", f"{server.url}/x", {"Authorization": "Bearer canary\r\nX: y"}),
            Request("GET", "http://[canary/"),
            Request("GET", f"http://{'canary' * 20}/"),
        ):
            assert await send(request) == NoAnswer(Fault.GARBAGE, "the request cannot be sent as it is written")
    assert server.heads == []


# --- what is answered -----------------------------------------------------------------------------------------


async def test_an_answer_is_whole_with_its_headers_in_lower_case() -> None:
    before = datetime.now(UTC)
    async with listening(answer(b"busy", "X-Request-ID: 7", "Retry-After: 5", status="429 Slow")) as server:
        response = whole(await get(server.url))
    expected = Response(
        429,
        {"content-length": "4", "x-request-id": "7", "retry-after": "5"},
        b"busy",
        response.received_at,
    )
    assert response == expected
    assert before <= response.received_at <= datetime.now(UTC)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(status: int) -> None:
    async with listening(answer(b"", "location: /elsewhere", status=f"{status} Go")) as server:
        response = whole(await get(f"{server.url}/x"))
    assert (response.status, response.headers["location"]) == (status, "/elsewhere")
    assert len(server.heads) == 1


async def test_a_cookie_is_not_kept() -> None:
    async with (
        listening(saying(answer(b"", "set-cookie: session=1; path=/"), last=False)) as server,
        open_transport() as transport,
    ):
        for _ in range(2):
            await transport.send(Request("GET", server.url), within=SOON)
    assert not any(b"cookie" in head.lower() for head in server.heads)
    assert len(server.heads) == 2


async def test_a_connection_is_used_again() -> None:
    async with listening(saying(answer(), last=False)) as server, open_transport() as transport:
        for _ in range(5):
            await transport.send(Request("GET", server.url), within=SOON)
    assert (len(server.heads), server.connections) == (5, 1)


async def test_a_get_survives_a_kept_connection_that_the_server_closes() -> None:
    asked = 0

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            writer.close()  # as we reuse it, before a byte of an answer
        else:
            writer.write(answer(b"here"))

    async with listening(talk) as server, open_transport() as transport:
        answers = [whole(await transport.send(Request("GET", server.url), within=SOON)) for _ in range(2)]
    assert [one.body for one in answers] == [b"here", b"here"]
    assert (len(server.heads), server.connections) == (3, 2)


# --- compressed bodies ----------------------------------------------------------------------------------------

TEXT = b"what was said " * 1000
ZIPPED = gzip.compress(TEXT, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", ZIPPED, id="gzip"),
        pytest.param("GZIP", ZIPPED, id="GZIP"),
        pytest.param("x-gzip", ZIPPED, id="x-gzip"),
        pytest.param("deflate", zlib.compress(TEXT), id="deflate"),
        pytest.param("identity", TEXT, id="identity"),
    ],
)
async def test_a_compressed_body_is_decompressed_also_unasked(encoding: str, body: bytes) -> None:
    async with listening(answer(body, f"content-encoding: {encoding}")) as server:
        assert whole(await get(server.url)).body == TEXT


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "303 See Other"])
async def test_no_body_may_call_itself_compressed(status: str) -> None:
    async with listening(answer(b"", "content-encoding: gzip", status=status)) as server:
        assert whole(await get(server.url)).body == b""


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        pytest.param("gzip", ZIPPED[:-9], "the compressed body does not end where it should", id="cut short"),
        pytest.param("gzip", ZIPPED * 2, "the compressed body does not end where it should", id="twice"),
        ("gzip", b"plain", "the body is not compressed as its headers say"),
        ("br", b"whatever", "the body has an encoding that was not asked for"),
        ("gzip, gzip", b"whatever", "the body has an encoding that was not asked for"),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_garbage(encoding: str, body: bytes, why: str) -> None:
    async with listening(answer(body, f"content-encoding: {encoding}")) as server:
        assert await get(server.url) == NoAnswer(Fault.GARBAGE, why)


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_may_have_as_many_bytes_as_the_limit_decompressed(size: int, encoding: str, *, fits: bool) -> None:
    body = b"x" * size if encoding == "identity" else gzip.compress(b"x" * size)
    async with listening(answer(body, f"content-encoding: {encoding}")) as server:
        response = await get(server.url, limit=1000)
    if fits:
        assert whole(response).body == b"x" * size
    else:
        assert response == NoAnswer(Fault.TOO_LARGE, "more than 1000 bytes")


async def test_bytes_that_decompress_to_nothing_count_as_well() -> None:
    body = gzip.compress(b"", mtime=0)[:4] + b"\x00" * 6  # a header alone, ...
    named = body[:3] + b"\x08" + body[4:] + b"n" * 2000 + b"\x00" + gzip.compress(b"x")[10:]  # ... with a long name
    async with listening(answer(named, "content-encoding: gzip")) as server:
        assert await get(server.url, limit=1000) == NoAnswer(Fault.TOO_LARGE, "more than 1000 bytes")


# --- whom we trust --------------------------------------------------------------------------------------------


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("name", "trusted", "why"),
    [
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("example.com", True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
async def test_a_certificate_that_is_not_good_is_refused(name: str, why: str, *, trusted: bool) -> None:
    authority, ours = trustme.CA(), ssl.create_default_context()
    if trusted:
        authority.configure_trust(ours)
    async with listening(answer(), tls=server_side(authority, name)) as server, open_transport(tls=ours) as transport:
        url = f"https://127.0.0.1:{server.port}/x?canary"
        response = await transport.send(Request("GET", url), within=SOON)
    assert isinstance(response, NoAnswer)
    assert response.fault is Fault.TLS
    assert why in response.detail
    assert "canary" not in response.detail
    assert server.heads == []


async def test_a_certificate_that_is_good_is_taken() -> None:
    authority, ours = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(ours)
    async with (
        listening(answer(b"safe"), tls=server_side(authority, "127.0.0.1")) as server,
        open_transport(tls=ours) as transport,
    ):
        response = await transport.send(Request("GET", f"https://127.0.0.1:{server.port}/"), within=SOON)
    assert whole(response).body == b"safe"


async def test_aioresponses_stands_in_for_the_network(responses: aioresponses) -> None:
    responses.get("https://api.example.com/x", status=503, body=b"later", headers={"Retry-After": "9"})
    response = whole(await get("https://api.example.com/x"))
    assert (response.status, response.headers["retry-after"], response.body) == (503, "9", b"later")
