"""What Prometheus gets from a real daemon that has followed a few watches to their ends."""

from pathlib import Path

import aiohttp
import anyio
from running import Stage, stage
from scraping import PROMISED, families, promtool

from watcher import metrics
from watcher.demo.story import PLOTS


def value(text: str, sample: str) -> float:
    """Add up all samples that begin so."""
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample))


async def scrape(world: Stage, *, until: str, is_at_least: int) -> str:
    """Ask for the metrics until one of them has grown so far."""
    connector = aiohttp.UnixConnector(str(world.folder / "http.sock"))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as api:
        with anyio.fail_after(20):
            while True:
                async with api.get("/metrics") as answer:
                    assert (answer.status, answer.headers["content-type"]) == (200, metrics.CONTENT_TYPE)
                    text = await answer.text()
                if value(text, until) >= is_at_least:
                    return text
                await anyio.sleep(0.1)


async def test_a_scrape_has_each_metric_and_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    plot = next(plot for plot in PLOTS if plot.provider == "d7")
    async with stage(tmp_path) as world:
        world.environ["WATCHER__WATCHER__LISTEN"] = f"unix:{tmp_path}/http.sock"
        async with world.daemon():
            world.ask_for(world.begin(plot), "rubbish")
            told = len(plot.expected)
            text = await scrape(world, until="watcher_event_to_delivered_seconds_count", is_at_least=told)

    assert families(text) == PROMISED
    assert promtool("check", "metrics", text=text) == (0, "")
    assert value(text, "watcher_events_total") == told
    assert value(text, 'watcher_polls_total{outcome="changed",provider="d7"}') >= 1
    assert value(text, 'watcher_requests_total{result="new",source="inbox"}') == 1
    assert value(text, 'watcher_requests_total{result="rejected",source="inbox"}') == 1
    assert value(text, "watcher_watches{") == 0
    assert value(text, "watcher_store_commit_seconds_count") > 0
    assert value(text, "watcher_loop_lag_seconds_count") > 0
    assert "order-42" not in text
