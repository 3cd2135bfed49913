"""/v1/status and /v1/webhooks: how things stand, and switching a webhook on and off."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from http_api import NOW, STAMP, Served, api, problem
from store_values import head_of, refusal, settled

from watcher import __version__, metrics
from watcher.cli.status import Look, problems, sentence
from watcher.config import Config
from watcher.core.delivery import Decision
from watcher.core.endpoint import Disabled, Endpoint, disabled, opened
from watcher.core.intent import Switch
from watcher.core.model import Condition, Json, Reason
from watcher.core.rows import Overview
from watcher.core.standing import standings
from watcher.http.remembered import SHARE, Remembered
from watcher.http.standing import Status
from watcher.intake import Down

WEBHOOK: dict[str, Json] = {
    "name": "ops",
    "url": "https://example.com/hook",
    "state": "ok",
    "reason": None,
    "why": None,
    "since": None,
    "until": None,
    "waiting": 0,
    "oldest_waiting": None,
    "exhausted": 0,
    "last_good_at": None,
    "last_error": None,
}
AUDIT: dict[str, Json] = {**WEBHOOK, "name": "audit"}
D7: dict[str, Json] = {
    "name": "d7",
    "state": "ok",
    "reason": None,
    "since": None,
    "until": None,
    "watches": {},
    "trouble": 0,
    "late": None,
    "polls": 0,
    "changes": 0,
}
LAST_ERROR: dict[str, Json] = {"at": STAMP, "status": 500, "error": "500 Internal Server Error"}
BEGIN = "Nothing is watched yet: begin with `watcher add d7 KEY=VALUE`, `POST /v1/watches`, or a request at a source"
SECTIONS = Config.model_validate(
    {
        "providers": {"d7": {"type": "d7", "token": "t"}},
        "webhooks": {name: {"url": "https://example.com/hook", "unsigned": True} for name in ("ops", "audit")},
    }
)
HOUR_AGO = "2026-11-23T11:00:00.123456Z"
ABOUT: dict[str, Json] = {"name": None, "since": None, "so": None, "until": None, "remedy": None}
CONCERNS: list[Json] = [
    {**ABOUT, "about": "daemon", "text": "is starting or stopping"},
    {
        **ABOUT,
        "about": "daemon",
        "text": "has a loop that does not turn",
        "remedy": "The watchdog starts it again; `journalctl -u watcher` names the loop",
    },
    {
        **ABOUT,
        "about": "daemon",
        "text": "takes no more requests: 7 watches are open",
        "remedy": "Make room; what is known already is polled and delivered all the same",
    },
    {
        **ABOUT,
        "about": "webhook",
        "name": "ops",
        "text": "is paused by its breaker",
        "since": HOUR_AGO,
        "so": "1 delivery waits",
        "remedy": "See whether it is up: `watcher webhook test ops`; it is tried again by itself",
    },
    {
        **ABOUT,
        "about": "provider",
        "name": "d7",
        "text": "is polled late",
        "since": HOUR_AGO,
        "remedy": "Raise its `rate`, as far as its vendor allows",
    },
]
BROKEN: dict[str, Json] = {
    **WEBHOOK,
    "state": "breaker_open",
    "since": HOUR_AGO,
    "until": "2026-11-23T11:00:30.123456Z",
    "waiting": 1,
    "oldest_waiting": STAMP,
    "last_error": LAST_ERROR,
}


async def status(served: Served) -> dict[str, Json]:
    """Ask how things stand; what was counted of polls by others in this process is left out."""
    answer = (await served.get("/v1/status")).json
    assert isinstance(answer, dict)
    assert isinstance(answer["providers"], list)
    for provider in answer["providers"]:
        assert isinstance(provider, dict)
        provider |= {"polls": 0, "changes": 0}
    return answer


async def know(served: Served, endpoint: Endpoint) -> None:
    await served.daemon.store.settle([], endpoint=endpoint)


async def test_a_daemon_that_has_nothing_to_do_is_well(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        assert await status(served) == {
            "at": STAMP,
            "counted_at": STAMP,
            "version": __version__,
            "is_well": True,
            "concerns": [],
            "hints": [BEGIN],
            "open": 0,
            "waiting": 0,
            "rejected": 0,
            "cursor": 0,
            "providers": [D7],
            "webhooks": [AUDIT, WEBHOOK],
        }


async def test_what_is_not_well_is_told_with_the_numbers_behind_it(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        store = served.daemon.store
        await served.daemon.watch()
        await served.daemon.change()
        await store.settle([settled(await head_of(store), Decision.RETRY, next_at=NOW + timedelta(hours=1))])
        await know(served, opened(Endpoint("ops"), now=NOW - timedelta(hours=1)))
        await know(served, disabled(Endpoint("callback:https://a.example:443"), Disabled.GONE, now=NOW))
        await store.pause(Condition("kore", "uid", paused_until=NOW + timedelta(hours=1)))
        served.backing.readings = lambda: [
            metrics.Reading(metrics.OLDEST_DUE, ("d7",), 3600.0),
            metrics.Reading(metrics.WATCHES, ("d7", "in_progress"), 1),
        ]
        served.daemon.is_well = served.daemon.is_ready = False
        served.daemon.lack = "7 watches are open"
        found = await status(served)
        assert (found["is_well"], found["open"], found["waiting"], found["cursor"]) == (False, 1, 1, 1)
        assert found["concerns"] == CONCERNS
        watched: Json = {"in_progress": 1}
        assert found["providers"] == [{**D7, "watches": watched, "late": 3600.0}]
        assert found["webhooks"] == [AUDIT, BROKEN]


@pytest.mark.parametrize(
    ("condition", "provider"),
    [
        (
            Condition("d7", "uid", reason=Reason.DENIED, since=NOW),
            {"state": "down", "reason": "denied", "since": STAMP},
        ),
        (Condition("d7", "uid", paused_until=NOW + timedelta(hours=-1)), {}),
        (Condition("d7", "uid", paused_until=NOW), {}),
    ],
)
async def test_a_provider_is_down_or_paused_or_well(
    tmp_path: Path, condition: Condition, provider: dict[str, Json]
) -> None:
    async with api(tmp_path) as served:

        async def conditions() -> list[Condition]:
            return [condition]

        served.daemon.records.conditions = conditions  # type: ignore[method-assign]  # what no API can bring about
        served.backing.readings = lambda: [metrics.Reading(metrics.OLDEST_DUE, ("d7",), 3600.0)]
        found = await status(served)
        assert found["providers"] == [{**D7, "late": 3600.0, **provider}]


async def test_watches_whose_section_is_gone_are_counted_under_its_name(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        served.backing.desk = replace(served.backing.desk, providers={})
        found = await status(served)
        assert found["providers"] == [{**D7, "state": "no_section", "watches": {"pending": 1}}]


async def test_a_pause_that_a_provider_asked_for_is_told_with_its_end(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        later = NOW + timedelta(hours=1)
        await served.daemon.store.pause(Condition("d7", "uid", paused_until=later))
        found = await status(served)
        assert found["providers"] == [{**D7, "state": "paused", "until": "2026-11-23T13:00:00.123456Z"}]


async def test_webhooks_are_listed_and_of_those_without_a_section_the_ones_that_most_waits_for(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        overview = replace(
            await served.daemon.records.overview(),
            waiting={f"callback:https://{number}.example:443": number for number in range(1, 99)},
        )

        async def counted() -> Overview:
            return overview

        served.daemon.records.overview = counted  # type: ignore[method-assign]  # it takes thousands of rows else
        answer = (await served.get("/v1/webhooks")).json
        assert isinstance(answer, dict)
        assert isinstance(answer["webhooks"], list)
        names = [each["name"] for each in answer["webhooks"] if isinstance(each, dict)]
        assert names == ["audit", "ops", *(f"callback:https://{number}.example:443" for number in range(98, 48, -1))]


async def test_the_command_says_in_the_same_words_what_the_api_and_the_page_say(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        store, records = served.daemon.store, served.daemon.records
        await served.daemon.watch()
        await served.daemon.change()
        await store.settle([settled(await head_of(store), Decision.EXHAUSTED)])
        await know(served, disabled(Endpoint("audit"), Disabled.COMMAND, now=NOW))
        await store.pause(Condition("d7", "uid", paused_until=NOW + timedelta(hours=1)))
        await store.add([replace(refusal("no JSON"), source="inbox")])
        served.backing.down = lambda: {"inbox": Down(NOW, "No such file, or no right to read it")}
        served.daemon.lack = "7 watches are open"
        told = Status.model_validate((await served.get("/v1/status")).json)
        overview = replace(await records.overview(), owner="process 7")
        stand = standings(SECTIONS.webhooks, await records.endpoints(), overview, now=NOW)
        look = Look(SECTIONS, overview, await records.conditions(), stand, await records.rejected(), told, NOW)
        shown = [(sentence(concern, now=NOW), concern.remedy) for concern in told.concerns]
        assert list(problems(look)) == shown
        assert len(shown) == 6


@pytest.mark.parametrize("word", ["enable", "disable"])
async def test_switching_a_webhook_is_written_as_an_intent(tmp_path: Path, word: str) -> None:
    async with api(tmp_path) as served:
        answer = await served.post(f"/v1/webhooks/ops/{word}", {})
        assert (answer.status, answer.json) == (202, {"webhook": "ops", "wanted": f"{word}d"})
        assert await served.daemon.store.intents() == [Switch(1, "ops", word == "enable")]
        with anyio.fail_after(5):
            await served.daemon.rung.wait(at_most=10)


async def test_an_origin_of_callbacks_is_switched_once_something_went_there(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        path = "/v1/webhooks/callback%3Ahttps%3A%2F%2Fa.example%3A443/enable"
        assert (await served.post(path, {})).status == 404
        await know(served, Endpoint("callback:https://a.example:443"))
        assert (await served.post(path, {})).json == {"webhook": "callback:https://a.example:443", "wanted": "enabled"}


async def test_what_cannot_be_switched_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        path = "/v1/webhooks/ops/enable"
        answer = await served.post("/v1/webhooks/other/enable", {})
        assert answer.json == problem(404, "there is no webhook of this name")
        assert (await served.post(path, {"on": True})).status == 422
        assert (await served.post(path, b"{")).status == 422
        assert (await served.ask("POST", path)).status == 415
        assert (await served.ask("POST", path, headers={"Content-Type": "text/plain"})).status == 415
        served.daemon.is_ready = False
        assert (await served.post(path, {})).status == 503
        assert await served.daemon.store.intents() == []


async def test_a_costly_answer_is_remembered_in_proportion_to_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 100.0, 0
    monkeypatch.setattr("watcher.http.remembered.anyio.current_time", lambda: now)

    async def ask() -> int:
        nonlocal asked, now
        asked, now = asked + 1, now + 1.0
        return asked

    answers = Remembered(ask)
    assert await answers.get() == 1
    now += 1.0 / SHARE - 0.1
    assert await answers.get() == 1
    now += 0.2
    assert [await answers.get(), await answers.get()] == [2, 2]
