"""The doctor finds what is wrong with a receiver, over real sockets, and says what to do about it."""

import re
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anyio import to_thread
from commands import Desk
from examining import found, told, trial
from make import SECRET
from raw_server import RawServer, answer, listening, saying
from store_values import a_watch, added, head_of, settled
from store_values import told as told_events

from watcher.cli.checkup import screen
from watcher.core.delivery import Attempt, Decision
from watcher.core.endpoint import Disabled
from watcher.core.webhook import Kind
from watcher.core.webhook_section import Webhook
from watcher.demo.pretend import serving
from watcher.demo.receiver import Manners, Receiver
from watcher.doctor import Examination, Named, Names, Trial
from watcher.stores.sqlite import SqliteStore

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG_AGO, FAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
LOOPBACK = Named("127.0.0.1", "127.0.0.1 is a loopback address")


# --- the test event ---------------------------------------------------------------------------------------------


async def test_a_receiver_that_verifies_takes_the_test_event_and_can_tell_it_from_real_ones() -> None:
    receiver = Receiver([SECRET])
    async with serving(receiver.application()) as url:
        examination = await found(f"{url}/hook?canary")
    [arrival] = receiver.arrivals
    assert (arrival.problem, arrival.answered, arrival.attempt, arrival.sequence) == (None, 204, 1, 1)
    assert (arrival.type, arrival.watch, arrival.provider) == ("watch.status.changed", "watcher-test", "watcher-test")
    assert (arrival.id, arrival.headers["ce-type"]) == (trial(examination).event_id, "watch.status.changed")
    assert (trial(examination).kind, trial(examination).is_signed) == (Kind.DELIVERED, True)
    assert (examination.names, examination.refused, examination.tls) == (Names((LOOPBACK,)), None, None)
    assert told(examination) == ["All is well: it takes events."]


async def test_each_test_event_has_an_id_of_its_own() -> None:
    receiver = Receiver([SECRET])
    async with serving(receiver.application()) as url:
        first, second = await found(url), await found(url)
    assert [arrival.is_repeat for arrival in receiver.arrivals] == [False, False]
    assert trial(first).event_id != trial(second).event_id


@pytest.mark.parametrize(
    ("manners", "said"),
    [
        (Manners(fail=None, status=301), "Write the address behind the redirect into the url"),
        (Manners(fail=None, status=400), "Compare the secret at both ends, and the clocks"),
        (Manners(fail=None, status=404), "Mind the path of the url"),
        (Manners(fail=None, status=410), "It says that it wants no events any more"),
        (Manners(fail=None, status=413), "It takes no body of this size"),
        (Manners(fail=None, status=429), "It asks for a rest"),
        (Manners(fail=None, status=503, retry_after="60"), "It asks for a rest"),
        (Manners(fail=None, status=500), "Look into the receiver's own log"),
    ],
)
async def test_an_answer_that_is_no_2xx_is_explained(manners: Manners, said: str) -> None:
    async with serving(Receiver([SECRET], manners=manners).application()) as url:
        examination = await found(url)
    assert trial(examination).attempt.status == manners.status
    [line] = told(examination)
    assert line.startswith(said)


async def test_a_delivery_that_the_receiver_gives_up_is_explained() -> None:
    async with listening(answer(b"", "webhook-delivery: abort-message")) as server:
        examination = await found(server.url)
    assert told(examination) == [
        "It gives up what it is sent: the daemon would not try this event again.",
    ]


async def test_a_wrong_secret_and_none_at_all_get_different_advice() -> None:
    async with serving(Receiver(["whsec_" + "A" * 32]).application()) as url:
        signed, unsigned = await found(url), await found(url, secret=[], unsigned=True)
    assert told(signed) == ["Compare the secret at both ends, and the clocks: this POST was signed, and was refused."]
    assert told(unsigned) == [
        "It may want a signature: try --secret env:NAME.",
        "Sign what you send: --secret env:NAME here, `secret` in the section; `watcher secret new` prints one.",
    ]


async def test_a_redirect_is_shown_and_never_followed() -> None:
    async with listening(answer(b"here")) as elsewhere:
        moved = answer(b"", f"location: {elsewhere.url}/login\x1b[2J", status="302 Found")
        async with listening(moved) as server:
            examination = await found(server.url)
    assert (elsewhere.connections, trial(examination).attempt.status) == (0, 302)
    assert f"location: {elsewhere.url}/login\\x1b[2J (not followed)" in lines(examination, server)


async def test_a_receiver_that_is_slow_is_told_to_answer_first() -> None:
    async with serving(Receiver([SECRET], manners=Manners(slow=0.6)).application()) as url:
        examination = await found(url, timeout="1s")
    assert told(examination, timeout="1s") == [
        "It takes events slowly: answer first and work later, the timeout is 1s."
    ]


async def test_silence_ends_in_time_and_is_explained() -> None:
    async with listening(saying(b"", every=60)) as server:
        examination = await found(server.url, timeout="200ms")
    assert trial(examination).attempt.error == "timeout: no whole answer in time"
    assert told(examination) == [
        "Look whether it is up, and whether a firewall lets us through: there was no answer in time."
    ]


async def test_a_port_where_nobody_listens_is_explained() -> None:
    examination = await found(f"http://127.0.0.1:{closed_port()}/")
    assert told(examination) == ["Look whether the receiver is up and the port is right: there was no answer."]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_what_goes_unencrypted_to_others_is_named() -> None:
    taken = Examination(
        Names(), trial=Trial("evt_1", is_signed=True, attempt=Attempt(1, NOON, 0.1, 204), kind=Kind.DELIVERED)
    )
    assert told(taken, url="http://example.com/", allow_http=True) == ["Use https://: events can be read on the way."]
    assert told(taken, url="http://localhost/") == ["All is well: it takes events."]


# --- names and addresses ----------------------------------------------------------------------------------------


async def test_a_name_is_looked_up_and_each_address_gets_its_verdict() -> None:
    async with serving(Receiver([SECRET]).application()) as url:
        examination = await found(url.replace("127.0.0.1", "localhost"))
    assert LOOPBACK in examination.names.addresses
    assert {named.why_not for named in examination.names.addresses} <= {
        "127.0.0.1 is a loopback address",
        "::1 is a loopback address",
    }
    assert examination.names.duration is not None


async def test_a_name_that_leads_nowhere() -> None:
    examination = await found("https://nowhere.invalid/")
    assert (examination.names.addresses, examination.tls, examination.trial) == ((), None, None)
    assert examination.names.error
    assert told(examination) == ["Mind the name in the url, and the DNS of this machine: the name leads nowhere."]


@pytest.mark.parametrize("private", [False, ["10.0.0.0/8"]])
async def test_what_the_guard_forbids_is_not_even_connected_to(private: object) -> None:
    async with listening(answer()) as server:
        url = f"https://127.0.0.1:{server.port}/"
        examination = await found(url, private=private)
        assert (server.connections, server.heads) == (0, [])
    assert examination == Examination(Names((LOOPBACK,)), "127.0.0.1 is a loopback address")
    assert told(examination) == [
        "Not to be called: 127.0.0.1 is a loopback address. Another address, or the network in the section's `private`."
    ]


async def test_a_network_that_the_section_allows_is_called() -> None:
    async with serving(Receiver([SECRET]).application()) as url:
        assert trial(await found(url, private=["127.0.0.0/8"])).is_accepted


@pytest.mark.parametrize("url", ["http://2130706433/", "http://127.1/", "http://0x7f.1/"])
async def test_an_odd_spelling_of_an_address_is_called_by_nobody(url: str) -> None:
    examination = await found(url)
    assert examination == Examination(Names(), "expected an IPv4 address as four decimal numbers without leading zeros")


# --- the command ------------------------------------------------------------------------------------------------


def lines(examination: Examination, server: RawServer) -> list[str]:
    return list(screen(examination, Webhook(url=server.url, unsigned=True)))


async def test_the_doctor_of_a_url_needs_no_configuration(tmp_path: Path) -> None:
    receiver = Receiver([SECRET])
    (tmp_path / "secret").write_text(SECRET + "\n")
    async with serving(receiver.application()) as url:
        done = await Desk(tmp_path).run("webhook", "doctor", f"{url}/hook?canary", "--secret", "file:secret")
    assert (done.status, done.err, "canary" in done.out) == (0, "", False)
    assert [name for name, _ in done.facts] == ["url", "address", "test", "status", "means", "address", "took"]
    assert dict(done.facts)["status"] == "204"
    assert done.out.endswith("\n\nAll is well: it takes events.\n")


async def test_the_doctor_of_a_section_signs_with_its_secret_and_needs_no_other(tmp_path: Path) -> None:
    receiver = Receiver([SECRET])
    desk = Desk(tmp_path, {"OPS": SECRET})
    async with serving(receiver.application()) as url:
        await to_thread.run_sync(desk.config.write_text, CONFIG.format(url=url))
        done = await desk.run("webhook", "doctor", "ops", "--json")
    unknown = "how it stands is not known: {} does not exist; `watcher run` or `watcher add` makes it\n"
    assert (done.status, done.err, len(receiver.arrivals)) == (0, unknown.format(desk.database), 1)
    assert isinstance(done.json, dict)
    assert {key: value for key, value in done.json.items() if key != "trial"} == {
        "url": url,
        "names": {
            "addresses": [{"address": "127.0.0.1", "why_not": "127.0.0.1 is a loopback address"}],
            "error": None,
            "duration": None,
        },
        "refused": None,
        "tls": None,
        "webhooks": [],
        "advice": ["All is well: it takes events."],
    }


@pytest.mark.parametrize(
    ("known", "fact", "advised"),
    [
        (
            {"opened_at": LONG_AGO, "probe_at": FAR},
            "ops, breaker open since T, next probe T",
            "The breaker of ops is open until a probe is taken: `watcher webhook enable ops` closes it now.",
        ),
        (
            {"paused_at": LONG_AGO, "paused_until": FAR},
            "ops, paused until T, as it asked for",
            "ops is paused, as it asked for: `watcher webhook enable ops` ends that now.",
        ),
        (
            {"disabled": Disabled.GONE, "disabled_at": LONG_AGO},
            "ops, disabled since T: it answered 410",
            "Nothing is sent to ops, which is disabled: `watcher webhook enable ops` once the receiver is well.",
        ),
    ],
)
async def test_of_a_webhook_that_is_configured_the_doctor_says_how_it_stands_and_what_waits(
    tmp_path: Path, known: dict[str, datetime], fact: str, advised: str
) -> None:
    desk = Desk(tmp_path, {"OPS": SECRET})
    async with serving(Receiver([SECRET]).application()) as url:
        await to_thread.run_sync(desk.config.write_text, CONFIG.format(url=url))
        store = await SqliteStore.open(desk.database)
        await store.lease()
        [watch] = await added(store, a_watch())
        await told_events(store, watch, events=3)
        await store.settle([settled(await head_of(store), Decision.EXHAUSTED)])
        endpoint = replace(await store.endpoint("ops", ordered=True), **known)  # type: ignore[arg-type]  # as named
        await store.settle([], endpoint=endpoint)
        by_name = await desk.run("webhook", "doctor", "ops")
        by_url = await desk.run("webhook", "doctor", url, "--secret", "env:OPS")
        await store.close()
    for done in (by_name, by_url):
        facts = {name: re.sub(r"\S+Z \([^)]*\)", "T", value) for name, value in done.facts}
        assert (done.status, facts["webhook"], facts["waiting"]) == (0, fact, "2, the first since T")
        assert (facts["given up"], facts["last 2xx"]) == ("1", "none yet")
        assert done.out.partition("\n\n")[2].splitlines() == [
            advised,
            "Send again what was given up: `watcher replay --webhook ops --since 7d --status exhausted`.",
        ]


CONFIG = """
[providers.d7]
type = "d7"
token = "env:NOT_SET"

[webhooks.ops]
url = "{url}"
secret = "env:OPS"
headers = {{ x-api-key = "env:OPS" }}
"""


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["ftp://example.com/"], 2, "url: expected an address such as https://example.com/hooks\n"),
        (["http://127.0.0.1:9/", "--secret", "env:NONE"], 2, "NONE, which is not set\n"),
        (["http://127.0.0.1:9/", "--secret", "whsec_short"], 2, "secret: expected whsec_ and the base64 of"),
        (["opps"], 1, "watcher: there is no webhook 'opps'; expected one of ops\n"),
        (["ops"], 2, "watcher.toml: webhooks.ops.secret: expected a secret in the environment variable OPS"),
    ],
)
async def test_what_cannot_be_examined_is_said(tmp_path: Path, arguments: list[str], status: int, problem: str) -> None:
    desk = Desk(tmp_path)
    await to_thread.run_sync(desk.config.write_text, CONFIG.format(url="http://127.0.0.1:9/"))
    done = await desk.run("webhook", "doctor", *arguments)
    assert (done.status, done.out, problem in done.err) == (status, "", True), done.err
