"""An account that is down, or denied, as a whole: what it is asked meanwhile, and what is told of it, once."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import anyio
import orjson
import pytest
from fakes import Answer, Silence, SpiedStore
from structlog.testing import capture_logs
from virtual import EPOCH, START, VirtualClock
from worlds import Polling, log_of, turning

from watcher.core.model import Ending, Json
from watcher.core.webhook_section import Webhook
from watcher.core.wire import Fault, NoAnswer, Request
from watcher.deliver import Pump

DOWN_AT, UP_AT = 60.0, 660.0
PROBES = 5  # in ten minutes: after 10, 20, 40, 80 and 160 seconds; the next is 300 s later
RATE, BURST = 5.0, 5
SECTION = {"rate": RATE, "burst": BURST, "poll": {"min": "20s", "max": "5m"}}
FAULTS: dict[str, tuple[Answer | Silence, str]] = {
    "refused": (Silence(NoAnswer(Fault.CONNECTION, "refused")), "unreachable"),
    "timeout": (Silence(NoAnswer(Fault.TIMEOUT, "no answer in time"), takes=15), "unreachable"),
    "503": (Answer(503), "server_error"),
}
DENIALS = {"401": Answer(401), "403": Answer(403)}
faults = pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
denials = pytest.mark.parametrize("denial", DENIALS.values(), ids=DENIALS)


class Account:
    """A D7 account with a webhook; `fault` is its answer (to `only` one operation) from `DOWN_AT` to `UP_AT`."""

    def __init__(
        self,
        store: SpiedStore,
        clock: VirtualClock,
        *,
        fault: Answer | Silence,
        back: str = "delivered",
        only: str = "",
    ) -> None:
        self.store = store
        self.clock = clock
        self.fault = fault
        self.back = back
        self.only = only
        self.worlds: list[Polling] = []

    def answer(self, request: Request) -> Answer | Silence:
        if request.method == "POST":
            return Answer(204)
        operation = request.url.rpartition("/")[2]
        if DOWN_AT <= self.now < UP_AT and self.only in {"", operation}:
            return self.fault
        return log_of(operation, "sent" if self.now < UP_AT else self.back)

    @property
    def now(self) -> float:
        return self.clock.monotonic() - EPOCH

    async def run(self, *operations: str, until: float, deadlines: Mapping[str, timedelta] | None = None) -> None:
        """Start a daemon, with what is stored, and stop it."""
        conditions = {one.provider: one for one in await self.store.conditions()}
        world = Polling(self.store, self.clock, conditions, d7=SECTION)
        world.transport._otherwise = self.answer
        self.worlds.append(world)
        for operation in operations:
            await world.follow(operation, deadline=(deadlines or {}).get(operation, timedelta(days=3)))
        ops = Webhook.model_validate({"url": "https://ops.example", "unsigned": True, "concurrency": 100})
        pump = Pump(
            ops,
            endpoint=await self.store.endpoint("ops", ordered=True),
            store=self.store,
            transport=world.transport,
            clock=self.clock,
            agent="watcher/test",
        )
        await world.feed.load()
        async with turning(*world.pollers.values(), pump):
            await anyio.sleep(until - self.now)

    @property
    def known_at(self) -> float:
        """When the account was first told to be down."""
        (since, *_) = [str(event["since"]) for event in self.posted("provider.down")]
        return (datetime.fromisoformat(since) - START).total_seconds() + 1e-5

    def asked(self, begin: float, end: float) -> list[float]:
        """When the account was asked between these two moments."""
        every = [sent for world in self.worlds for sent in world.transport.sent if sent.request.method == "GET"]
        return [sent.at - EPOCH for sent in every if begin <= sent.at - EPOCH < end]

    def posted(self, *types: str) -> list[dict[str, Json]]:
        """What the webhook was told, of these types."""
        every = [sent for world in self.worlds for sent in world.transport.sent if sent.request.method == "POST"]
        bodies = [orjson.loads(sent.request.body) for sent in every]
        return [body["data"] | {"type": body["type"]} for body in bodies if body["type"] in types]

    async def endings(self, *operations: str) -> Counter[Ending | None]:
        watches = [await self.store.watch(f"uid-{operation}") for operation in operations]
        return Counter(watch.ending for watch in watches if watch is not None)


@pytest.fixture
def account(store: SpiedStore, clock: VirtualClock) -> Callable[..., Account]:
    return lambda **keys: Account(store, clock, **keys)


def operations(number: int) -> list[str]:
    return [f"op-{each}" for each in range(number)]


def most_in_a_second(times: list[float]) -> int:
    return max(sum(at <= other < at + 1 for other in times) for at in times)


@faults
async def test_ten_minutes_of_outage_are_told_once_cost_a_handful_of_polls_and_lose_no_watch(
    account: Callable[..., Account], fault: Answer | Silence, reason: str
) -> None:
    down, names = account(fault=fault), operations(100)

    with capture_logs() as logs:
        await down.run(*names, until=900)

    (went, came) = down.posted("provider.down", "provider.up", "watch.trouble", "watch.recovered")
    assert (went["type"], went["reason"], went["open"]) == ("provider.down", reason, 100)
    assert (came["type"], came["reason"], came["open"]) == ("provider.up", reason, 100)
    told = [line for line in logs if str(line["event"]).startswith("provider.")]
    told[0].pop("error")
    assert told == [
        {"event": "provider.down", "log_level": "error", "provider": "d7", "reason": reason},
        {"event": "provider.up", "log_level": "info", "provider": "d7"},
    ]
    assert len(down.asked(DOWN_AT, down.known_at)) <= 11 + 16  # most of the last 20, and those in flight with them
    assert len(down.asked(down.known_at, UP_AT)) == PROBES
    assert await down.endings(*names) == {Ending.SUCCEEDED: 100}
    again = down.asked(UP_AT, 900)
    assert again[-1] - again[0] <= 100 / RATE + 20
    assert most_in_a_second(again) <= BURST + RATE


@faults
async def test_what_is_in_flight_as_it_goes_down_does_not_put_the_first_probe_off(
    account: Callable[..., Account], fault: Answer | Silence, reason: str
) -> None:
    down = account(fault=fault)
    await down.run(*operations(100), until=150)
    first, *_ = down.asked(down.known_at, 150)
    assert first - down.known_at == pytest.approx(10, abs=0.1)
    assert [event["reason"] for event in down.posted("provider.down")] == [reason]


@faults
async def test_a_restart_while_it_is_down_tells_nothing_again_and_probes_once(
    account: Callable[..., Account], fault: Answer | Silence, reason: str
) -> None:
    down, names = account(fault=fault), operations(50)
    await down.run(*names, until=300)
    begin = down.now
    await down.run(until=1000)

    told = [(event["type"], event["reason"]) for event in down.posted("provider.down", "provider.up", "watch.trouble")]
    assert told == [("provider.down", reason), ("provider.up", reason)]
    assert len(down.asked(begin, UP_AT)) <= PROBES
    assert await down.endings(*names) == {Ending.SUCCEEDED: 50}


@denials
async def test_denied_to_all_is_one_event_and_few_polls_and_few_watches_tell_it_before(
    account: Callable[..., Account], denial: Answer
) -> None:
    denied, names = account(fault=denial), operations(100)

    with capture_logs() as logs:
        await denied.run(*names, until=1200)

    told = denied.posted("provider.down", "provider.up")
    assert [(event["type"], event["reason"]) for event in told] == [
        ("provider.down", "denied"),
        ("provider.up", "denied"),
    ]
    assert len(denied.posted("watch.trouble")) <= 4  # one denial accuses a watch, five the account
    assert [line["event"] for line in logs].count("provider.down") == 1
    assert len(denied.asked(denied.known_at, UP_AT)) == PROBES
    assert await denied.endings(*names) == {Ending.SUCCEEDED: 100}


@pytest.mark.parametrize("operation", ["op-0", "op-7"])
@denials
async def test_denied_to_one_watch_of_many_is_its_trouble_alone_and_at_once(
    account: Callable[..., Account], denial: Answer, operation: str
) -> None:
    sound = account(fault=denial, only=operation)
    await sound.run(*operations(20), until=UP_AT - 1)

    (trouble,) = sound.posted("provider.down", "watch.trouble", "watch.recovered")
    assert (trouble["type"], trouble["watch"], trouble["reason"]) == ("watch.trouble", operation, "denied")
    (denied_at, *_) = [at for at in sound.worlds[0].transport.times(operation) if at >= DOWN_AT]
    assert datetime.fromisoformat(str(trouble["since"])) - START == pytest.approx(
        timedelta(seconds=denied_at), abs=timedelta(milliseconds=2)
    )


async def test_a_deadline_that_passes_meanwhile_is_kept_without_a_poll(
    account: Callable[..., Account],
) -> None:
    down, names = account(fault=Answer(503), back="sent"), operations(50)
    await down.run(*names, until=750, deadlines={"op-31": timedelta(minutes=5)})

    (finished,) = down.posted("watch.finished")
    assert (finished["watch"], finished["outcome"], finished["status"]) == ("op-31", "expired", "in_progress")
    assert len(down.asked(down.known_at, UP_AT)) == PROBES
    assert down.posted("watch.trouble") == []


async def test_a_deadline_that_passes_meanwhile_is_kept_at_the_probe_if_it_is_this_watch_that_probes(
    account: Callable[..., Account],
) -> None:
    down = account(fault=Answer(503))
    await down.run("only", until=600, deadlines={"only": timedelta(minutes=5)})

    assert [(event["outcome"], event["status"]) for event in down.posted("watch.finished")] == [
        ("expired", "in_progress")
    ]


async def test_deadlines_hold_however_many_pass_while_nobody_may_ask(account: Callable[..., Account]) -> None:
    down, names = account(fault=Answer(503)), operations(50)
    await down.run(*names, until=500, deadlines=dict.fromkeys(names, timedelta(minutes=5)))
    assert await down.endings(*names) == {Ending.EXPIRED: 50}


# --- neither up nor down ------------------------------------------------------------------------------------------

HEALED_AT = 3600.0


class Unsteady(Account):
    """An account of whose answers 70 % are faults, for an hour; what it delivers stands only in the others then."""

    def __init__(self, store: SpiedStore, clock: VirtualClock, *, seed: int) -> None:
        super().__init__(store, clock, fault=Answer(503))
        self.dice = random.Random(seed)

    def answer(self, request: Request) -> Answer | Silence:
        if request.method == "POST":
            return Answer(204)
        if self.now < HEALED_AT and self.dice.random() < 0.7:
            fault, _ = self.dice.choice(list(FAULTS.values()))
            return fault
        return log_of(request.url.rpartition("/")[2], "sent" if self.now < HEALED_AT else "delivered")


@pytest.mark.parametrize("seed", range(5))
async def test_an_account_that_fails_mostly_does_not_come_and_go_all_the_time_and_loses_no_watch(
    store: SpiedStore, clock: VirtualClock, seed: int
) -> None:
    random.seed(seed)  # those of the loops
    ill, names = Unsteady(store, clock, seed=seed), operations(50)

    await ill.run(*names, until=HEALED_AT + 600)

    told = [str(event["type"]) for event in ill.posted("provider.down", "provider.up")]
    assert told == ["provider.down", "provider.up"] * (len(told) // 2)
    assert 1 <= len(told) // 2 <= 8
    assert await ill.endings(*names) == {Ending.SUCCEEDED: 50}
    assert most_in_a_second(ill.asked(0, HEALED_AT + 600)) <= BURST + RATE


async def test_very_many_watches_that_expire_while_their_account_is_down_hold_up_nobody(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world, back = Polling(store, clock, d7=SECTION), 320.0

    def answer(request: Request) -> Answer:
        return Answer(503) if clock.monotonic() - EPOCH < back else log_of(request.url.rpartition("/")[2], "sent")

    world.transport._otherwise = answer
    await world.follow(*(f"late-{number}" for number in range(300)), deadline=timedelta(minutes=5))
    await world.follow(*(f"on-time-{number}" for number in range(5)))
    await world.feed.load()
    turned = []
    async with turning(*world.pollers.values()):
        await anyio.sleep(290)
        store.slow["commit"] = 1.0
        for _ in range(40):
            await anyio.sleep(10)
            turned.append(world.pollers["d7"].is_turning)
    asked = [sent for sent in world.transport.sent if sent.at - EPOCH > back]
    assert (all(turned), world.feed.open, {sent.last for sent in asked}) == (
        True,
        5,
        {f"on-time-{number}" for number in range(5)},
    )
