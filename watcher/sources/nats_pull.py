"""Asking a durable consumer for its next messages, over one connection. What messages mean is not known here.

nats-py's `fetch` loses what it has when it is cancelled, and can leave a request behind that takes what comes next:
so this asks by itself, one request at a time, and keeps what arrives until somebody takes it.
"""

from collections import deque
from collections.abc import Container, Iterable
from contextlib import suppress

import anyio
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from watcher.bell import Bell
from watcher.sources.nats_connection import hang_up, readable, reason

MOST_MESSAGES = 200
MOST_BYTES = 32 * 1024 * 1024  # at hand; nats-py drops what goes beyond 128 MiB
EXPIRES = 3.0  # seconds after which the server ends a request that brought too little
SILENCE = 5.0  # seconds without a word, after which nobody is there
STOP_WITHIN = 1.0
RETURN_AFTER = 1.0  # seconds until what was given back comes again

# How a request ends before it brought all that it asked for.
# https://docs.nats.io/reference/jetstream/api/consumer/get-next
TOO_HEAVY = "Message Size Exceeds MaxBytes"
NOBODY_THERE = "503"
ENDS = {"Request Timeout", "No Messages", "Batch Completed", TOO_HEAVY}


class Pull:
    """The messages of one durable consumer; `bell` rings when the connection is lost."""

    def __init__(self, client: Client, *, stream: str, durable: str, bell: Bell) -> None:
        self._client = client
        self._api = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._bell = bell
        self._subscription: Subscription | None = None
        self._inbox = client.new_inbox()
        self._request = 0
        self._asked_for = 0
        self._is_next_too_heavy = False
        self._arrived: deque[Msg] = deque()

    async def receive(self) -> list[Msg]:
        """Wait for messages; those that arrived and were not received stay, also when this is cancelled.

        Raises:
            OSError: the connection is lost, nobody answers, or the consumer cannot be asked.

        """
        while True:
            if self._asked_for <= 0:
                await self._ask()
            await self._news()
            if messages := self._unreceived():
                self._asked_for -= len(messages)
                return messages
            self._end(self._arrived.popleft())

    async def acknowledge(self, messages: Iterable[Msg], *, terminated: Container[int]) -> None:
        """Let go of messages; those at the places in `terminated` for good, without having been of use.

        Raises:
            OSError: the server could not be told: they come again.

        """
        with readable(self._client), anyio.fail_after(STOP_WITHIN):
            for place, message in enumerate(messages):
                await (message.term() if place in terminated else message.ack())

    async def give_back(self, messages: Iterable[Msg]) -> None:
        """Have these messages come again, and those that nobody received; then `receive` starts anew."""
        subscription, self._subscription = self._subscription, None
        self._asked_for = 0
        # Where the server cannot be told, they come again by themselves, later.
        with suppress(OSError), readable(self._client), anyio.fail_after(STOP_WITHIN):
            if subscription:
                await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py gives it no type
            for message in (*messages, *(message for message in self._arrived if message.reply)):
                await message.nak(delay=RETURN_AFTER)
        self._arrived.clear()

    async def close(self) -> None:
        """Give back what nobody received, and close the connection; bounded, and not to be cancelled."""
        with anyio.CancelScope(shield=True):
            await self.give_back(())
            await hang_up(self._client)

    async def _ask(self) -> None:
        self._request += 1
        is_heavy, self._is_next_too_heavy = self._is_next_too_heavy, False
        self._asked_for = 1 if is_heavy else MOST_MESSAGES
        request = {"batch": self._asked_for, "expires": int(EXPIRES * 1e9)}
        if not is_heavy:
            request["max_bytes"] = MOST_BYTES
        with readable(self._client):
            if self._subscription is None:
                self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
            await self._client.publish(self._api, orjson.dumps(request), reply=f"{self._inbox}.{self._request}")

    async def _take(self, message: Msg) -> None:
        self._arrived.append(message)
        self._bell.ring()

    async def _news(self) -> None:
        """Wait until something is there."""
        deadline = anyio.current_time() + SILENCE
        while not self._arrived:
            if self._client.is_closed:
                last = self._client.last_error
                raise OSError(f"the connection is lost: {reason(last) if last else 'it was closed'}")
            if anyio.current_time() >= deadline:
                raise OSError("no answer in time")
            await self._bell.wait(at_most=deadline - anyio.current_time())

    def _unreceived(self) -> list[Msg]:
        """Take the messages that are there, up to where the server says that a request is over."""
        messages = []
        while self._arrived and self._arrived[0].reply:
            messages.append(self._arrived.popleft())
        return messages

    def _end(self, said: Msg) -> None:
        """Note that a request is over, and why."""
        if said.subject != f"{self._inbox}.{self._request}":
            return  # it was over already, by its number of messages
        headers = said.headers or {}
        status, text = headers.get("Status"), headers.get("Description")
        if text not in ENDS:
            raise OSError("the consumer is gone" if status == NOBODY_THERE else f"it brings no more: {text}")
        self._asked_for = 0
        self._is_next_too_heavy = text == TOO_HEAVY
