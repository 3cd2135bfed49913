"""The page at `/` to other eyes: hostile texts, small screens, light and dark rooms, and those who only listen."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from http_api import NOW, Served
from looking import HOSTILE, hostile, messages, page, see
from store_values import head_of, settled

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint, opened


async def test_hostile_texts_are_shown_as_text(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser, before=hostile) as (_, seen):
        await seen.until_text("#events", HOSTILE[0][:30])
        await seen.click("#events a")
        await seen.until_text("#watch-title", HOSTILE[1])
        await seen.until_text("#watch-events", HOSTILE[0][:30])
        await seen.click("#watch-events summary")
        await seen.until_text("#watch-events .attempts", HOSTILE[1])
        whole = await seen.text("body")
        for text in HOSTILE:
            assert " ".join(text[:30].split()) in whole
        assert (
            await seen.read("document.querySelectorAll('body img, body script, body iframe, body style').length") == 0
        )
        assert await seen.read("document.title") != "taken"
        assert await seen.read(
            "Math.max(...[...document.querySelectorAll('bdi')].map((one) => one.innerText.length)) < 130"
        )
        assert seen.complaints == []


async def test_it_fits_a_phone(tmp_path: Path, browser: str) -> None:
    async with page(tmp_path, browser, before=hostile) as (_, seen):
        await seen.look(width=360, height=800, phone=True)
        await seen.until_text("#events", HOSTILE[0][:30])
        await seen.click("#events a")
        await seen.until_text("#watch-events", HOSTILE[0][:30])
        await seen.click("#watch-events summary")
        await seen.until_text("#watch-events .attempts", HOSTILE[1])
        assert await seen.read("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
        assert await seen.read(OUTSIDE) == []


OUTSIDE = """
(() => {
  const [found, range] = [[], document.createRange()];
  const all = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (all.nextNode()) {
    const [node, element] = [all.currentNode, all.currentNode.parentElement];
    if (!element.checkVisibility() || element.closest(".unseen, .key, .now, svg, option")) continue;
    range.selectNode(node);
    const { left, right, width } = range.getBoundingClientRect();
    if (width && (left < 0 || right > innerWidth + 1)) found.push(node.textContent.trim().slice(0, 80));
  }
  return found.filter(Boolean);
})()
"""


CONTRAST = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const solid = (colour) => { const parts = numbers(colour); return parts.length < 4 || parts[3] > 0; };
  const ground = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (solid(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const [text, node] = [texts.currentNode, texts.currentNode.parentElement];
    if (!text.data.trim() || !node.checkVisibility() || node.closest(".unseen, title, noscript, option")) continue;
    const drawn = node.namespaceURI.endsWith("svg");
    const bar = drawn && node.parentElement.querySelector("rect[class]");
    const [front, back] = [
      drawn ? getComputedStyle(node).fill : getComputedStyle(node).color,
      bar ? getComputedStyle(bar).fill : ground(node),
    ].map(light).sort((one, other) => other - one);
    found.push([(front + 0.05) / (back + 0.05), text.data.trim().slice(0, 40)]);
  }
  return found;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_word_stands_out_from_its_ground(tmp_path: Path, browser: str, scheme: str) -> None:
    async def go_wrong(served: Served) -> None:
        store = served.daemon.store
        await see(served, messages("sent", "sent"))
        await see(served, messages("delivered", "undelivered"))
        await store.settle([settled(await head_of(store), Decision.RETRY)], endpoint=opened(Endpoint("ops"), now=NOW))

    async with page(tmp_path, browser, before=go_wrong, at="#watch=order-42") as (_, seen):
        await seen.look(scheme=scheme)
        await seen.until_text("#timeline", "undelivered")
        await seen.until_text("#headline", "Not well")
        await seen.click("#hold")
        found = await seen.read(CONTRAST)
        assert len(found) > 80
        assert [text for ratio, text in found if ratio < 4.5] == []


NAMED = {"button", "textbox", "searchbox", "combobox", "link", "region", "dialog"}


async def test_whoever_listens_to_it_finds_names_landmarks_and_an_order(tmp_path: Path, browser: str) -> None:
    async def send(served: Served) -> None:
        await see(served, messages("sent"))

    async with page(tmp_path, browser, before=send, at="#watch=order-42") as (_, seen):
        await seen.until_text("#timeline", "m1")
        await seen.until_text("#providers", "in progress")
        tree = (await seen.call("Accessibility.getFullAXTree"))["nodes"]
        heard = [(said(node, "role"), said(node, "name")) for node in tree if not node.get("ignored")]
        assert [role for role, name in heard if role in NAMED and not name] == []
        assert {"banner", "main", "search", "region", "status"} <= {role for role, _ in heard}
        assert [role for role, _ in heard].count("main") == 1
        buttons = [name for role, name in heard if role == "button"]
        assert {"1 in progress at d7", "Disable (webhook ops)", "Disable (webhook audit)"} <= set(buttons)
        assert len(buttons) == len(set(buttons))
        levels = [int(level) for level in await seen.read(VISIBLE_HEADINGS)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert await seen.read("document.documentElement.lang") == "en"
        ids = await seen.read("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))
        assert (
            await seen.read("[...document.querySelectorAll('[tabindex]')].filter((one) => one.tabIndex > 0).length")
            == 0
        )
        assert await seen.read("document.querySelectorAll('svg:not([aria-hidden], [aria-hidden] *)').length") == 0
        assert await seen.read("document.querySelectorAll(':is(ul, ol) > :not(li)').length") == 0
        assert await seen.text("#told") == "All is well."


VISIBLE_HEADINGS = (
    "[...document.querySelectorAll('h1, h2, h3')].filter((one) => one.checkVisibility()).map((one) => one.tagName[1])"
)


def said(node: dict[str, Any], what: str) -> str:
    return str(node.get(what, {}).get("value", ""))
