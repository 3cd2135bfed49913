"""The page at `/`, worked with in a real browser; nothing of it is pretended but the daemon's loops."""

import re
from pathlib import Path

from http_api import Served, api
from looking import messages, page, see
from store_values import head_of, settled

from watcher.core.delivery import Decision
from watcher.core.intent import Cancel, Replay
from watcher.http.page.page import FILES

TOKEN = "a-token"


# --- what is served --------------------------------------------------------------------------------------------


async def test_the_page_comes_under_a_policy_that_lets_nothing_else_in(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        for path in ["/", *(f"/page/{name}" for name in FILES if name != "page.html")]:
            answer = await served.get(path)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            del headers["date"], headers["content-length"], headers["content-type"]
            assert headers == {
                "server": "watcher",
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "content-security-policy": (
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
                    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
                    " require-trusted-types-for 'script'; trusted-types 'none'"
                ),
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "same-origin",
                "referrer-policy": "no-referrer",
            }
        types = {name: (await served.get(f"/page/{name}")).type for name in ["page.css", "page.js"]}
        assert types == {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
        assert (await served.get("/")).type == "text/html; charset=utf-8"


async def test_only_the_parts_of_the_page_are_served_with_it(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for path in ["/page/", "/page/page.html", "/page/page.py", "/page/../page.py", "/page.css"]:
            assert (await served.get(path)).status == 404


def test_nothing_of_the_page_is_fetched_from_elsewhere_or_reads_markup_out_of_a_text() -> None:
    whole = b"\n".join(FILES.values()).decode()
    assert set(re.findall(r"https?://[^\s'\"]+", whole)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|eval|style=|cookie", whole) == []


async def test_nobody_else_in_a_browser_gets_at_it_by_a_name_that_leads_here(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        assert (await served.get("/", {"Host": "rebound.example"})).status == 421


# --- what happens, as it happens -------------------------------------------------------------------------------


async def test_events_appear_as_they_happen_and_stand_still_when_held(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser) as (served, seen):
        await seen.until_text("#headline", "All is well")
        await see(served, messages("sent"))
        await seen.until_text("#events", "order-42 m1 sent")
        await seen.click("#hold")
        await see(served, messages("delivered"))
        await seen.until_text("#events-note", "Held: 1 event since.")
        assert "delivered" not in await seen.text("#events")
        await seen.click("#hold")
        await seen.until_text("#events li", "m1 sent → delivered")


async def test_moments_are_in_the_readers_zone_with_the_exact_utc_behind_them(tmp_path: Path, browser: str) -> None:
    async def send(served: Served) -> None:
        await see(served, messages("sent"))

    async with page(tmp_path, browser, before=send) as (_, seen):
        await seen.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
        await seen.call("Page.reload")
        await seen.until_text("#events", "17:30:00 order-42")
        here, exact = (await seen.read("document.querySelector('#events time').title")).split("\n")
        assert (here.endswith("17:30:00 GMT+5:30"), exact) == (True, "2026-11-23T12:00:00.123456Z")


async def test_of_a_long_log_only_the_newest_events_are_read(tmp_path: Path, browser: str) -> None:
    async def change(served: Served) -> None:
        for _ in range(40):
            await served.daemon.change(to=[])

    async with page(tmp_path, browser, before=change) as (_, seen):
        await seen.until_text("#events", "STEP-40")
        assert await seen.read("document.querySelector('#events').children.length") == 30
        assert any(url.endswith("stream?after=10") for url in seen.requests)


# --- one watch -------------------------------------------------------------------------------------------------


async def test_a_watch_is_found_and_shown_with_timeline_deliveries_and_attempts(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser) as (served, seen):
        store = served.daemon.store
        await see(served, messages("sent", "sent"))
        await store.settle([settled(await head_of(store), Decision.RETRY)])
        await seen.until_text("#headline", "All is well")
        await seen.click("#find-text")
        await seen.type("order-42")
        await seen.press("Enter")
        await seen.until_text("#watch-title", "Watch order-42")
        await seen.until_text("#timeline", "m1")
        await see(served, messages("delivered", "undelivered"))
        await seen.until_text("#timeline .lanes li:nth-child(3)", "undelivered")
        lanes = await seen.read(
            "[...document.querySelectorAll('#timeline .lanes li')].map((lane) =>"
            " [lane.querySelector('.key').innerText, ...Array.from(lane.querySelectorAll('svg svg > rect[class]'),"
            " (bar) => bar.getAttribute('class'))])"
        )
        assert lanes == [
            ["the watch", "in_progress"],
            ["m1", "in_progress", "succeeded"],
            ["m2", "in_progress", "failed"],
        ]
        assert "label order 42" in await seen.text("#watch-facts")
        assert "ops waiting, 500 Internal Server Error in 250 ms" in await seen.text("#watch-events > li")
        await seen.click("#watch-events summary")
        await seen.until_text("#watch-events .attempts", "sorry")
        assert "500 Internal Server Error in 250 ms from 192.0.2.1 server: nginx" in await seen.text(".attempts")
        await seen.click("#watch-events > li > button")
        await seen.until_text("#answer", "Event 1 is sent again, with the same id.")
        (intent,) = await store.intents()
        assert isinstance(intent, Replay)
        assert len(intent.events) == 1
        assert seen.complaints == []


async def test_of_a_watch_with_many_messages_the_first_are_drawn_and_the_rest_when_asked_for(
    tmp_path: Path, browser: str
) -> None:
    async def send(served: Served) -> None:
        await see(served, messages(*["sent"] * 60))

    async with page(tmp_path, browser, before=send, at="#watch=order-42") as (_, seen):
        await seen.until_text("#timeline > button", "Show all 61 lanes")
        assert await seen.read("document.querySelectorAll('.lanes > li').length") == 40
        await seen.click("#timeline > button")
        await seen.until("document.querySelectorAll('.lanes > li').length === 61")
        assert await seen.read("document.querySelector('#timeline > button').hidden")


async def test_watches_are_found_by_label_and_by_a_click_on_their_number(tmp_path: Path, browser: str) -> None:
    async def add(served: Served) -> None:
        for number in range(25):
            await served.daemon.watch(f"order-{number}")

    async with page(tmp_path, browser, before=add) as (_, seen):
        await seen.until_text("#providers", "26 pending")
        await seen.click("#providers .count")
        await seen.until_text("#found-note", "The first 20 watches, oldest first")
        await seen.click("#found-more")
        await seen.until_text("#found-note", "26 watches, oldest first")
        await seen.read("document.querySelector('#find-text').value = 'order=43'")
        await seen.click("#find > button")
        await seen.until_text("#found-note", "There is no such watch.")
        await seen.read("document.querySelector('#find-text').value = 'nobody'")
        await seen.click("#find > button")
        await seen.until_text("#found-note", "there is no watch of this id")


async def test_everything_can_be_done_with_the_keyboard_alone(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser) as (served, seen):
        await seen.until_text("#headline", "All is well")
        await seen.tab_to("#find-text")
        await seen.type("order-42")
        await seen.press("Enter")
        await seen.until("document.activeElement.id === 'watch-title'")
        await seen.until("!document.querySelector('#watch-cancel').hidden")
        await seen.tab_to("#watch-cancel", at_most=3)
        await seen.press("Enter")
        await seen.until("document.activeElement.id === 'sure-no'")
        await seen.press("Escape")
        await seen.until("document.activeElement.id === 'watch-cancel'")
        assert await served.daemon.store.intents() == []
        await seen.press("Enter")
        await seen.press("Tab", shift=True)
        await seen.until("document.activeElement.id === 'sure-yes'")
        await seen.press("Enter")
        await seen.until_text("#answer", "order-42 is cancelled within a second.")
        assert await served.daemon.store.intents() == [Cancel(1, "uid-order-42")]
        await seen.tab_to("#watch-close", at_most=3)
        await seen.press("Enter")
        await seen.until("document.querySelector('#watch').hidden")


# --- who may look ----------------------------------------------------------------------------------------------


async def test_without_the_token_there_is_only_the_question_for_it(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser, at="#watch=order-42", token=TOKEN) as (served, seen):
        await seen.until("document.activeElement.id === 'token'")
        assert "order-42" not in await seen.text("body")
        assert [url for url in seen.requests if not url.startswith((f"{served.url}/page/", "data:"))] == [
            f"{served.url}/#watch=order-42".partition("#")[0]
        ]
        assert seen.complaints == []
        await seen.type("wrong")
        await seen.press("Enter")
        await seen.until_text("#token-wrong", "This token is not the right one.")
        await seen.type(TOKEN)
        await seen.press("Enter")
        await seen.until_text("#watch-title", "Watch order-42")
        await see(served, messages("sent"))
        await seen.until_text("#events", "m1")
        assert await seen.read("[document.cookie, localStorage.length, {...sessionStorage}]") == [
            "",
            0,
            {"watcher.token": TOKEN},
        ]
        await seen.until("!document.querySelector('#watch-cancel').hidden")
        await seen.click("#watch-cancel")
        await seen.click("#sure-yes")
        await seen.until_text("#answer", "order-42 is cancelled within a second.")
        assert await served.daemon.store.intents() == [Cancel(1, "uid-order-42")]
        await seen.click("#forget")
        await seen.until("document.activeElement?.id === 'token'")
        assert await seen.read("[sessionStorage.length, document.body.innerText.includes('m1')]") == [0, False]
