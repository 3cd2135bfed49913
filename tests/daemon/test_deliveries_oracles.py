"""Everything that webhooks can be sent, over real sockets, read by the libraries that receivers would use."""

import base64
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import anyio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from make import message, saying, terms, watch, whsec
from scale import scaled
from strict_receiver import GOOD, HANGING_UP, Post, StrictReceiver
from structlog.testing import capture_logs
from worlds import take_in

from watcher.clock import SystemClock
from watcher.core.event import provider_changed
from watcher.core.lifecycle import advance
from watcher.core.model import Condition, EventType, Observation, Reason, State
from watcher.core.outcome import Denied, Final, Seen
from watcher.core.signature import SigningKey
from watcher.core.webhook_section import Webhook
from watcher.demo.pretend import Reply, serving
from watcher.outbox import Outbox
from watcher.posting import open_posts
from watcher.record import Recorder
from watcher.stores.sqlite import SqliteStore

KEY = SigningKey(bytes(range(32)))
SIGNING_KEY = f"whsk_{base64.b64encode(bytes(range(32))).decode()}"
SECRETS = {"old": whsec(b"the secret that goes away"), "new": whsec(b"the secret that takes over")}
ROTATION = [("old",), ("new", "old"), ("new",)]
WEBHOOKS: dict[str, dict[str, object]] = {
    "full": {"headers": {"x-team": "ops"}},
    "thin": {"content": "thin", "concurrency": 2},
    "batches": {"batch": 7},
    "loose": {"order": "none", "batch": 5, "content": "thin"},
    "both": {"signing_key": SIGNING_KEY, "events": ["watch.*", "provider.*"], "order": "none"},
}
UNORDERED = frozenset(name for name, keys in WEBHOOKS.items() if keys.get("order") == "none")


def listed(*words: str) -> Observation:
    """Make an observation of messages whose detail is of all sorts."""
    messages = [message(f"m/{place}", word, text="grüße ☃ \x7f", big="x" * 5000) for place, word in enumerate(words)]
    return replace(saying("RUNNING", State.IN_PROGRESS, progress=50, note='"quoted"'), messages=tuple(messages))


STORY: list[Final] = [
    Seen(saying("QUEUED", State.PENDING, progress=0)),
    Seen(listed("accepted", "accepted")),
    Denied(401),
    Seen(listed("sent", "accepted")),
    Seen(listed("delivered", "undelivered")),
    Seen(replace(saying("DONE", State.PARTIALLY_SUCCEEDED, progress=100), result={"rows": ["a\u2028b", None, 1e-7]})),
]
IDS = ["order 42/ü", "%41", 'a,b;c="d"', *(f"order-{number}" for number in range(scaled(13, long=97)))]


def moody(seed: int) -> Callable[[Post], Reply]:
    """Be slow, and misbehave now and then: one rest for the whole webhook, and too little else to open a breaker."""
    dice = random.Random(seed)
    failures = [Reply(500), HANGING_UP, Reply(422), Reply(413), Reply(302, headers={"location": "/elsewhere"})]

    def answer(post: Post) -> Reply:
        if post.number == 40:
            return Reply(429, headers={"retry-after": "1"})
        reply = dice.choice(failures) if dice.random() < 0.1 else GOOD
        return replace(reply, delay=dice.uniform(0, 0.02)) if reply is not HANGING_UP else reply

    return answer


@asynccontextmanager
async def sending(store: SqliteStore, hook: str, secrets: tuple[str, ...]) -> AsyncIterator[Recorder]:
    """Send what waits, signed with these secrets, and what is told meanwhile; stop in the midst of it."""
    common = {"secret": [SECRETS[name] for name in secrets], "retry": ["50ms"] * 50}
    webhooks = {
        name: Webhook.model_validate({"url": f"{hook}/{name}", **common, **keys}) for name, keys in WEBHOOKS.items()
    }
    outbox = Outbox({}, store=store, clock=SystemClock(), agent="watcher/test", posts=open_posts)
    async with outbox.open():
        await outbox.change(webhooks, callbacks=None)
        yield Recorder(store=store, webhooks=webhooks, wake=outbox.wake)


async def tell(store: SqliteStore, recorder: Recorder, outcome: Final) -> None:
    """Let the same be seen of every watch."""
    for name in IDS:
        before = await store.watch(name)
        assert before is not None
        await recorder.commit(before, advance(before, outcome, now=datetime.now(UTC), terms=terms(), dice=0.5))


async def run(store: SqliteStore, receiver: StrictReceiver) -> None:
    """Tell the whole story, with a new set of secrets for each third of it, and deliver it."""
    now = datetime.now(UTC)
    await take_in(store, [watch(uid=name, id=name, submitted_at=now, accepted_at=now) for name in IDS])
    down = provider_changed(Condition("d7", "uid of d7"), reason=Reason.DENIED, at=datetime.now(UTC), watches=30)
    up = provider_changed(down.condition, reason=None, at=datetime.now(UTC), watches=30)
    async with serving(receiver.application()) as hook:
        for third, (secrets, report) in enumerate(zip(ROTATION, [down, up, None], strict=True)):
            async with sending(store, hook, secrets) as recorder:
                for outcome in STORY[2 * third : 2 * third + 2]:
                    await tell(store, recorder, outcome)
                if report is not None:
                    await recorder.report(report)
                    continue
                while await store.undelivered():
                    await anyio.sleep(0.05)


def verify_v1a(post: Post) -> None:
    """Verify the signature that no official library knows; raises where it does not fit."""
    *_, v1a = post.headers["webhook-signature"].split(" ")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(KEY.public.removeprefix("whpk_")))
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    public.verify(base64.b64decode(v1a.removeprefix("v1a,")), signed)


async def test_the_official_libraries_verify_and_understand_each_post_while_secrets_are_rotated(tmp_path: Path) -> None:
    receiver = StrictReceiver(SECRETS, answer=moody(20261123), unordered=UNORDERED)
    store = await SqliteStore.open(tmp_path / "watcher.db")
    await store.lease()
    with anyio.fail_after(60), capture_logs() as logs:
        await run(store, receiver)
    await store.close()

    posts = receiver.posts
    kinds = Counter("batch" if post.is_batch else "single" for post in posts)
    print(f"{len(posts)} POSTs, {dict(kinds)}, answered {dict(Counter(post.answered for post in posts))}")  # noqa: T201
    assert receiver.complaints == []
    signers = [set(names) for names, _ in groupby(post.verified_by for post in posts)]
    assert signers == [set(secrets) for secrets in ROTATION]
    assert {one.type for post in posts for one in post.told} == set(EventType)
    everything = {name: list(range(1, 15)) for name in IDS}
    assert receiver.taken("full") == receiver.taken("batches") == receiver.taken("thin") == everything
    assert {name: sorted(numbers) for name, numbers in receiver.taken("loose").items()} == everything
    for post in posts:
        if post.webhook == "both":
            verify_v1a(post)
        if post.webhook in {"thin", "loose"}:
            assert not any(b'"%s":' % key in post.body for key in (b"detail", b"params", b"labels", b"result"))
    assert "daemon.fault" not in {line["event"] for line in logs}
