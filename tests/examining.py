"""Examining a receiver as `watcher webhook doctor` does, without the command."""

from make import SECRET

from watcher.cli.checkup import advice
from watcher.clock import SystemClock
from watcher.core.webhook_section import Webhook
from watcher.doctor import Examination, Trial, examine


async def found(url: str, **keys: object) -> Examination:
    section = {"url": url, "allow_http": True, "secret": SECRET, **keys}
    return await examine(Webhook.model_validate(section), clock=SystemClock(), agent="watcher/test")


def told(examination: Examination, **keys: object) -> list[str]:
    return advice(examination, Webhook.model_validate({"url": "http://127.0.0.1/", "secret": SECRET, **keys}))


def trial(examination: Examination) -> Trial:
    assert examination.trial is not None
    return examination.trial
