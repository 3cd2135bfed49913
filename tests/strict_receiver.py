"""A webhook receiver that takes nobody's word: the official verifiers read every POST. What is wrong, it keeps."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import anyio
import orjson
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from watcher.core.model import Json
from watcher.demo.pretend import Reply

GOOD = Reply(204)
HANGING_UP = Reply(444)  # nothing is said, and the connection reset


@dataclass(frozen=True, slots=True)
class Told:
    """One event, alone or in a batch; of a provider as a whole there is no watch and no sequence."""

    watch: str | None
    sequence: int | None
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Post:
    """One POST; `number` counts those of its webhook from 0, `verified_by` names secrets, `answered` what it was."""

    webhook: str
    number: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    verified_by: frozenset[str]
    told: tuple[Told, ...]
    answered: int = 0

    @property
    def of_watches(self) -> list[tuple[str, int, str]]:
        """Watch, sequence and id of what it told of watches."""
        return [(one.watch, one.sequence, one.id) for one in self.told if one.watch and one.sequence]

    @property
    def is_batch(self) -> bool:
        return self.headers["webhook-id"].startswith("bat_")

    @property
    def is_taken(self) -> bool:
        return 200 <= self.answered < 300


class StrictReceiver:
    """Takes POSTs at `/<webhook>`; `secrets` are named, `answer` says what becomes of a POST.

    `complaints` tells of every POST that no secret verifies, that is neither a CloudEvent nor a batch of events, that
    gives a known event another id, that comes while another of its watch is in flight, or before its turn. The last
    two are not asked of webhooks that are `unordered`.
    """

    def __init__(
        self,
        secrets: Mapping[str, str],
        *,
        answer: Callable[[Post], Reply] = lambda _: GOOD,
        unordered: frozenset[str] = frozenset(),
    ) -> None:
        self.posts: list[Post] = []
        self.complaints: list[str] = []
        self._verifiers = {name: Verifier(secret) for name, secret in secrets.items()}
        self._answer = answer
        self._unordered = unordered
        self._numbers = Counter[str]()
        self._ids: dict[tuple[str, int], str] = {}
        self._reached: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._in_flight = Counter[tuple[str, str]]()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/{webhook}", self._receive)
        return application

    def taken(self, webhook: str) -> dict[str, list[int]]:
        """Return the numbers of each watch, in the order in which the webhook took them first."""
        numbers: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for post in self.posts:
            if post.webhook == webhook and post.is_taken:
                for watch, sequence, _ in post.of_watches:
                    numbers[watch][sequence] = None
        return {watch: list(each) for watch, each in numbers.items()}

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        webhook, body = request.match_info["webhook"], await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        post = Post(
            webhook, self._numbers[webhook], headers, body, self._who_verifies(headers, body), _read(headers, body)
        )
        self._numbers[webhook] += 1
        wrong = [*_deformities(post), *self._other_ids(post), *self._disorder(post)]
        self.complaints += [f"{webhook} {post.number}: {complaint}" for complaint in wrong]
        reply = self._answer(post)
        post = replace(post, answered=reply.status)
        self.posts.append(post)
        await self._keep(post, reply=reply)
        if reply is HANGING_UP and request.transport is not None:
            request.transport.abort()
        return reply.response()

    async def _keep(self, post: Post, *, reply: Reply) -> None:
        """Take as long as the reply says; until then nothing else of the same watches may come."""
        lanes = {(post.webhook, watch) for watch, _, _ in post.of_watches}
        self._in_flight.update(lanes)
        await anyio.sleep(reply.delay)
        self._in_flight.subtract(lanes)
        for watch, sequence, _ in post.of_watches if post.is_taken else ():
            self._reached[post.webhook, watch] = max(self._reached[post.webhook, watch], sequence)

    # --- what is wrong --------------------------------------------------------------------------------------------

    def _who_verifies(self, headers: dict[str, str], body: bytes) -> frozenset[str]:
        return frozenset(name for name, verifier in self._verifiers.items() if _verifies(verifier, headers, body))

    def _other_ids(self, post: Post) -> Iterator[str]:
        for watch, sequence, name in post.of_watches:
            known = self._ids.setdefault((watch, sequence), name)
            if known != name:
                yield f"{watch} {sequence} is {name}, and was {known}"

    def _disorder(self, post: Post) -> Iterator[str]:
        if post.webhook in self._unordered:
            return
        expected: dict[str, int] = {}
        for watch, sequence, _ in post.of_watches:
            if self._in_flight[post.webhook, watch]:
                yield f"{watch} {sequence} came while another was in flight"
            if sequence > expected.setdefault(watch, self._reached[post.webhook, watch] + 1):
                yield f"{watch} {sequence} came before {expected[watch]} was taken"
            expected[watch] = max(expected[watch], sequence + 1)


def _verifies(verifier: Verifier, headers: dict[str, str], body: bytes) -> bool:
    try:
        verifier.verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def _read(headers: Mapping[str, str], body: bytes) -> tuple[Told, ...]:
    document = orjson.loads(body)
    members = document["data"] if document["type"] == "batch" else [{"id": headers["webhook-id"], **document}]
    return tuple(Told(one["data"]["watch"], one["data"]["sequence"], one["id"], one["type"]) for one in members)


def _deformities(post: Post) -> Iterator[str]:
    if not post.verified_by:
        yield "no secret verifies it"
    if not post.is_batch:
        yield from _differences(post)
    elif any(name.startswith("ce-") for name in post.headers):
        yield "a batch is no CloudEvent"


def _differences(post: Post) -> Iterator[str]:
    """Compare what a CloudEvents library understands with what a webhook library would."""
    document: dict[str, Json] = orjson.loads(post.body)
    event = from_http_event(HTTPMessage(headers=dict(post.headers), body=post.body))
    (one,) = post.told
    understood = (
        event.get_id(),
        event.get_type(),
        event.get_subject(),
        event.get_extension("sequence"),
        event.get_data(),
    )
    if understood != (one.id, one.type, one.watch, one.sequence and str(one.sequence), document):
        yield f"a CloudEvent of {understood}"
