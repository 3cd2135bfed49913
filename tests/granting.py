"""The tokens of one account, with a clock and a transport that do as they are told."""

import orjson
from scripted import FakeClock, FakeTransport, answered

from watcher.core.outcome import Grant
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Provider
from watcher.providers.d7 import D7
from watcher.tokens import Tokens

LOGIN = "POST https://api.example.com/auth/v1/login/application"
D7_SECTION = {"base_url": "https://api.example.com", "client_id": "id", "client_secret": "shh"}


def login(token: str, **more: object) -> Response:
    return answered(200, orjson.dumps({"access_token": token, **more}))


class World:
    """The tokens of one account, with a clock and a transport that do as they are told."""

    def __init__(self, *script: Response | NoAnswer, provider: Provider | None = None) -> None:
        self.clock = FakeClock()
        self.transport = FakeTransport(list(script))
        self.tokens = Tokens(provider or d7(), transport=self.transport, clock=self.clock)
        self.seen: list[object] = []

    async def ask(self, *, instead_of: Grant | None = None) -> None:
        self.seen.append(await self.tokens.grant(instead_of=instead_of))

    async def grant(self, *, instead_of: Grant | None = None) -> Grant:
        grant = await self.tokens.grant(instead_of=instead_of)
        assert isinstance(grant, Grant)
        return grant


def d7() -> Provider:
    return D7.model_validate(D7_SECTION)
