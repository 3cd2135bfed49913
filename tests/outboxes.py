"""Events that wait for webhooks, for the tests of what delivers them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import orjson
from fakes import Answer, ScriptedTransport, SpiedStore
from store_values import a_step, a_watch
from virtual import VirtualClock
from worlds import take_in

from watcher.core.intent import Switch
from watcher.core.model import Event, Step, Watch
from watcher.core.moment import rfc3339
from watcher.core.webhook_section import Webhook
from watcher.deliver import Pump
from watcher.outbox import Outbox as Pumps
from watcher.ports import Transport

GOOD, BAD = Answer(204), Answer(500)


def body_of(event: Event) -> bytes:
    """Make the body of an event that has something to lose when it is sent thin."""
    data = {"watch": event.watch, "sequence": event.sequence, "labels": {"order": "42"}}
    return orjson.dumps({"type": event.type, "timestamp": rfc3339(event.at), "data": data})


def pumps(store: SpiedStore, *, clock: VirtualClock, transport: Transport) -> Pumps:
    """Make what has the pumps of all webhooks, and sends over one transport; it has none yet."""
    return Pumps({}, store=store, clock=clock, agent="watcher/test", posts=lambda _: nullcontext(transport))


class Outbox:
    """Webhooks by name, each `https://hooks.example/<name>`, and the watches whose events go to them."""

    def __init__(self, store: SpiedStore, clock: VirtualClock) -> None:
        self.store = store
        self.clock = clock
        self.transport = ScriptedTransport(clock, otherwise=lambda _: GOOD)

    def section(self, name: str = "ops", *, retry: Sequence[str] = ("1s",) * 50, **keys: object) -> Webhook:
        values = {"url": f"https://hooks.example/{name}", "unsigned": True, "retry": list(retry), **keys}
        return Webhook.model_validate(values)

    async def pump(self, name: str = "ops", *, retry: Sequence[str] = ("1s",) * 50, **keys: object) -> Pump:
        webhook = self.section(name, retry=retry, **keys)
        endpoint = await self.store.endpoint(name, ordered=webhook.order == "watch")
        return Pump(
            webhook,
            endpoint=endpoint,
            store=self.store,
            transport=self.transport,
            clock=self.clock,
            agent="watcher/test",
        )

    async def tell(self, *ids: str, events: int = 1, to: tuple[str, ...] = ("ops",)) -> None:
        """Commit so many more events of each watch, now."""
        for each in ids:
            watch = replace(a_watch(each), accepted_at=self.clock.now())
            await take_in(self.store, [watch])
            stored = await self.store.watch(watch.uid)
            assert stored is not None
            await self.store.commit([self._step(stored, events=events, to=to)])

    def _step(self, watch: Watch, *, events: int, to: tuple[str, ...]) -> Step:
        step = a_step(watch, events=events, to=to)
        now = self.clock.now()
        return replace(step, events=tuple(replace(event, at=now, body=body_of(event)) for event in step.events))

    async def wanted(self, name: str = "ops", *, on: bool = True) -> Switch:
        """Want a webhook switched; only with `done` it is."""
        await self.store.want(Switch(0, name, on))
        *_, switch = await self.store.intents()
        assert isinstance(switch, Switch)
        return switch

    def received(self, name: str = "ops") -> list[tuple[str, int]]:
        """What one webhook was sent, in order: watch and sequence."""
        posts = [sent.request.headers for sent in self.transport.sent if sent.last == name]
        return [(headers["ce-subject"], int(headers["ce-sequence"])) for headers in posts]
