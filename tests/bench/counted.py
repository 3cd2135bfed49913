"""A transport that counts what goes through it."""

from datetime import timedelta

from watcher.core.wire import NoAnswer, Request, Response
from watcher.ports import Transport


class Counted:
    """`ports.Transport` with a number: `sent` counts the answers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.sent = 0

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        answer = await self._transport.send(request, within=within)
        self.sent += 1
        return answer
