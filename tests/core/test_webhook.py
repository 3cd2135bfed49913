"""Who gets an event: the webhooks that a watch asked for, and their filters (SPEC, sections 3 and 7.1)."""

import pytest
from make import event, webhook

from watcher.core.model import EventType
from watcher.core.webhook import addressees

HOOKS = {"all": webhook(), "ends": webhook(events=["watch.finished"]), "kore": webhook(providers=["kore"])}


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        pytest.param(["*"], list(EventType), id="all"),
        pytest.param([], [], id="none"),
        pytest.param(["message.status.changed"], [EventType.MESSAGE], id="one"),
        pytest.param(["watch.*"], [kind for kind in EventType if kind.startswith("watch.")], id="all-of-the-watch"),
        pytest.param(["*.status.changed"], [EventType.STATUS, EventType.MESSAGE], id="all-statuses"),
        pytest.param(
            ["watch.finished", "watch.[tr]*"],
            [EventType.TROUBLE, EventType.RECOVERED, EventType.FINISHED],
            id="several-globs",
        ),
    ],
)
def test_a_webhook_gets_the_events_that_its_globs_match(globs: list[str], wanted: list[EventType]) -> None:
    assert [kind for kind in EventType if webhook(events=globs).wants(kind, provider="d7")] == wanted


@pytest.mark.parametrize(
    ("providers", "wants"),
    [(None, True), (["d7"], True), (["kore", "d7"], True), (["kore"], False), (["d7-two"], False), ([], False)],
)
def test_a_webhook_gets_the_events_of_its_providers(providers: list[str] | None, *, wants: bool) -> None:
    assert webhook(providers=providers).wants(EventType.MESSAGE, provider="d7") is wants


@pytest.mark.parametrize(
    ("kind", "chosen", "names"),
    [
        pytest.param(EventType.FINISHED, None, ("all", "ends"), id="all-that-want-it"),
        pytest.param(EventType.MESSAGE, None, ("all",), id="filters-hold"),
        pytest.param(EventType.FINISHED, ("ends",), ("ends",), id="the-watch's-own-choice"),
        pytest.param(EventType.MESSAGE, ("ends", "kore"), (), id="filters-hold-for-a-choice-too"),
        pytest.param(EventType.MESSAGE, ("gone", "all"), ("all",), id="a-section-that-was-removed"),
        pytest.param(EventType.MESSAGE, ("all", "all"), ("all",), id="named-twice-and-sent-once"),
        pytest.param(EventType.MESSAGE, (), (), id="none"),
    ],
)
def test_who_gets_an_event(kind: EventType, chosen: tuple[str, ...] | None, names: tuple[str, ...]) -> None:
    assert addressees(event(type=kind), HOOKS, chosen=chosen) == names
