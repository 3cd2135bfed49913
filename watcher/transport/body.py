"""How much of a body is read: a whole one, decompressed, up to a limit; or a glance at one. No memory is filled."""

import zlib

import aiohttp

from watcher.core.wire import Fault
from watcher.transport.faults import UnusableError


async def glanced(answer: aiohttp.ClientResponse, *, most: int) -> bytes:
    """Return the beginning of a body as it came, or what came of it before it broke."""
    body = b""
    try:
        while len(body) < most and (piece := await answer.content.read(most - len(body))):
            body += piece
    except aiohttp.ClientPayloadError:
        return body
    return body


async def whole(answer: aiohttp.ClientResponse, *, limit: int) -> bytes:
    """Return a body, decompressed; neither its wire size nor its real size passes `limit`.

    Raises:
        UnusableError: it does, or is not what `content-encoding` says.

    """
    decode = _decoder(answer.headers.get("content-encoding", "identity").strip().lower())
    pieces: list[bytes] = []
    wire = size = 0
    while not answer.content.at_eof():
        piece = await answer.content.readany()
        wire += len(piece)
        decoded = decode(piece, limit - size + 1)
        size += len(decoded)
        if max(wire, size) > limit:
            raise UnusableError(Fault.TOO_LARGE, f"more than {limit} bytes")
        pieces.append(decoded)
    if wire and not decode.is_whole:  # a 303 without body may still say that it is compressed
        raise UnusableError(Fault.GARBAGE, "the compressed body does not end where it should")
    return b"".join(pieces)


class _Plain:
    """A body as it came."""

    is_whole = True

    def __call__(self, piece: bytes, most: int) -> bytes:
        return piece[:most]


class _Zipped:
    """gzip or zlib, whichever its header says, never more than asked for."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def __call__(self, piece: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(piece, most)
        except zlib.error:
            raise UnusableError(Fault.GARBAGE, "the body is not compressed as its headers say") from None

    @property
    def is_whole(self) -> bool:
        return self._stream.eof and not self._stream.unused_data


def _decoder(encoding: str) -> _Plain | _Zipped:
    match encoding:
        case "identity" | "":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Zipped()
        case _:
            raise UnusableError(Fault.GARBAGE, "the body has an encoding that was not asked for")
