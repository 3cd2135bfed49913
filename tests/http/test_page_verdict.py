"""The page at `/`: whether all is well, and if not, what is wrong and what to do."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from chromium import tab
from http_api import NOW, Served, api, serving, stored
from looking import messages, page, see
from store_values import head_of, settled

from watcher import metrics
from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint, opened
from watcher.core.intent import Replay, Switch
from watcher.core.model import Condition
from watcher.http.address import Tcp

LOOK_NOW = "dispatchEvent(new Event('online'))"


async def test_it_says_that_all_is_well_and_nothing_complains(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser) as (served, seen):
        await seen.until_text("#headline", "All is well: 1 watch open, nothing waits.")
        await seen.until_text("#events-title", "Events")
        assert await seen.read("document.title") == "watcher: all is well"
        assert "1 pending" in await seen.text("#providers")
        assert await seen.read("document.cookie") == ""
        assert all(url.startswith((served.url, "data:")) for url in seen.requests)
        assert seen.complaints == []


async def test_it_says_what_is_not_well_and_an_operator_sets_it_right(tmp_path: Path, browser: str) -> None:
    async def go_wrong(served: Served) -> None:
        store = served.daemon.store
        await served.daemon.change()
        await store.settle([settled(await head_of(store), Decision.RETRY)], endpoint=opened(Endpoint("ops"), now=NOW))
        served.backing.readings = lambda: [metrics.Reading(metrics.OLDEST_DUE, ("d7",), 3700.0)]

    async with page(tmp_path, browser, before=go_wrong) as (served, seen):
        store = served.daemon.store
        clock = r"(\w+ \d+, )?\d\d:\d\d"
        await seen.until_text("#headline", "2 things are not well")
        assert re.fullmatch(
            rf"webhook ops is paused by its breaker since {clock}; 1 delivery waits\. See whether it is up: "
            rf"watcher webhook test ops; it is tried again by itself\. provider d7 is polled late since {clock}\. "
            r"Raise its rate, as far as its vendor allows\.",
            await seen.text("#concerns"),
        )
        assert "late by 1 h 1 min" in await seen.text("#providers")
        assert "breaker open since" in await seen.text("#webhooks")
        assert "last error 500 Internal Server Error" in await seen.text("#webhooks")
        await seen.click("#webhooks li:nth-child(2) button")
        await seen.until_text("#answer", "ops is enabled within a second.")
        assert await store.intents() == [Switch(1, "ops", on=True)]
        await seen.click("#webhooks li:nth-child(2) button:nth-child(2)")
        await seen.until_text("#sure-text", "Disable webhook ops?")
        await seen.press("Escape")
        await seen.until("!document.querySelector('#sure').open")
        assert len(await store.intents()) == 1
        await seen.click("#webhooks li:nth-child(2) button:nth-child(2)")
        await seen.click("#sure-yes")
        await seen.until_text("#answer", "ops is disabled within a second.")
        assert await store.intents() == [Switch(1, "ops", on=True), Switch(2, "ops", on=False)]
        assert seen.complaints == []


async def test_what_was_given_up_is_sent_again(tmp_path: Path, browser: str) -> None:
    async def give_up(served: Served) -> None:
        await served.daemon.change()
        await served.daemon.store.settle([settled(await head_of(served.daemon.store), Decision.EXHAUSTED)])

    async with page(tmp_path, browser, before=give_up) as (served, seen):
        await seen.until_text("#headline", "Not well: webhook ops has 1 delivery that was given up.")
        assert await seen.text("#concerns") == (
            "Once it is well: watcher replay --webhook ops --since 30d --status exhausted."
        )
        await seen.click("#webhooks li:nth-child(2) button:nth-child(2)")
        await seen.click("#sure-yes")
        await seen.until_text("#answer", "They are sent again")
        (intent,) = await served.daemon.store.intents()
        assert isinstance(intent, Replay)
        assert (intent.webhook, intent.exhausted) == ("ops", True)


async def test_where_the_daemon_stops_answering_it_says_so_and_goes_on_when_it_is_back(
    tmp_path: Path, browser: str
) -> None:
    async with stored(tmp_path) as daemon, tab(browser) as seen:
        async with serving(daemon) as served:
            await seen.go(served.url)
            await seen.until_text("#headline", "All is well")
        await seen.read(LOOK_NOW)
        await seen.until_text("#headline", "The daemon does not answer. What is shown is from")
        assert await seen.read("document.title") == "watcher: no answer"
        assert "systemctl status watcher says whether it runs" in await seen.text("#concerns")
        async with serving(daemon, address=Tcp("127.0.0.1", served.server.port)) as again:
            await seen.read(LOOK_NOW)
            await seen.until_text("#headline", "All is well")
            await daemon.watch()
            await see(again, messages("sent"))
            await seen.until_text("#events", "m1")


async def test_who_has_just_begun_is_told_what_to_do_next(tmp_path: Path, browser: str) -> None:
    async with api(tmp_path) as served, tab(browser) as seen:
        served.backing.webhooks = {}
        await seen.go(served.url)
        await seen.until_text("#headline", "All is well: 0 watches open, nothing waits.")
        assert await seen.text("#hints") == (
            "No webhook has a section, so nobody is told: add [webhooks.NAME], then watcher reload. Nothing is watched "
            "yet: begin with watcher add d7 KEY=VALUE, POST /v1/watches, or a request at a source."
        )
        assert await seen.text("#webhooks-note") == "There is none."
        assert await seen.text("#events-note") == "None yet."
        assert seen.complaints == []


async def test_a_tab_that_nobody_looks_at_still_has_a_true_title(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser) as (served, seen):
        await seen.until_text("#headline", "All is well")
        await seen.read(
            "globalThis.waits = []; const wait = setTimeout;"
            "globalThis.setTimeout = (call, time) => { waits.push(time); return wait(call, time); };"
            "Object.defineProperty(document, 'hidden', { get: () => true });"
        )
        served.daemon.is_well = False
        await seen.read("document.dispatchEvent(new Event('visibilitychange'))")
        await seen.until("document.title === 'watcher: not well (1)'")
        await seen.until("waits.includes(30000)")


async def test_after_an_upgrade_of_the_daemon_its_own_page_is_shown(
    tmp_path: Path, browser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with page(tmp_path, browser) as (_, seen):
        await seen.until_text("#headline", "All is well")
        monkeypatch.setattr("watcher.http.look.__version__", "999")
        await seen.read(LOOK_NOW)
        await seen.until_text("#version", "999")
        await seen.until("performance.getEntriesByType('navigation')[0].type === 'reload'")


async def test_the_end_of_a_pause_is_in_the_readers_zone(tmp_path: Path, browser: str) -> None:
    async def rest(served: Served) -> None:
        await served.daemon.store.pause(Condition("d7", "uid", paused_until=NOW + timedelta(hours=2)))

    async with page(tmp_path, browser, before=rest) as (_, seen):
        await seen.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
        await seen.call("Page.reload")
        await seen.until_text("#headline", "provider d7 is paused, as it asked for, until")
        assert "19:30; 1 watch waits." in await seen.text("#headline")
        assert "paused until" in await seen.text("#providers")
        assert "19:30:00" in await seen.text("#providers")
