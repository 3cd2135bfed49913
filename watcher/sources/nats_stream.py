"""The stream and the durable consumer: made if they are missing, compared with what is needed if they are there."""

from collections.abc import Iterator, Sequence

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from watcher.sources.nats import NatsSection
from watcher.sources.nats_connection import readable

ANSWER_WITHIN = 3.0
ACK_WAIT = 30.0  # seconds after which comes again what somebody took and never acknowledged


async def prepare(client: Client, section: NatsSection, *, is_making: bool = True) -> None:
    """Make sure that stream and consumer can be used; what is missing is made, if `is_making`.

    Raises:
        OSError: they cannot; the text says what differs, or what the server said.

    """
    streams = client.jetstream(timeout=ANSWER_WITHIN)
    about = f"stream {section.stream}"
    with readable(client, about=about):
        stream = await _stream(streams, section, is_making=is_making)
    if stream is None:
        return
    subjects = stream.subjects or []
    if subjects and not any(_covers(each, section.subject) for each in subjects):
        raise OSError(f"{about} takes {', '.join(subjects)}; expected one that takes {section.subject}")
    durable = f"consumer {section.durable} of {about}"
    with readable(client, about=durable):
        consumer = await _consumer(streams, section, is_making=is_making)
    if consumer and (differences := list(_differences(consumer, subject=section.subject, subjects=subjects))):
        raise OSError(f"{durable}: {'; '.join(differences)}")


async def _stream(streams: JetStreamContext, section: NatsSection, *, is_making: bool) -> StreamConfig | None:
    try:
        return (await streams.stream_info(section.stream)).config
    except NotFoundError:
        if not is_making:
            return None
        wanted = StreamConfig(
            name=section.stream,
            subjects=[section.subject],
            retention=RetentionPolicy.WORK_QUEUE,  # what is acknowledged is on disk here, and takes no room there
        )
        return (await streams.add_stream(wanted)).config


async def _consumer(streams: JetStreamContext, section: NatsSection, *, is_making: bool) -> ConsumerConfig | None:
    try:
        found: ConsumerInfo = await streams.consumer_info(section.stream, section.durable)
    except NotFoundError:
        if not is_making:
            return None
        wanted = ConsumerConfig(
            durable_name=section.durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            filter_subject=section.subject,
        )
        found = await streams.add_consumer(section.stream, wanted)
    return found.config


def _covers(pattern: str, subject: str) -> bool:
    """Does all that is published to `subject`, which may itself hold wildcards, match `pattern`?"""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">" and len(given) >= len(wanted):
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(
        want == part or (want == "*" and part != ">") for want, part in zip(wanted, given, strict=True)
    )


def _differences(found: ConsumerConfig, *, subject: str, subjects: Sequence[str]) -> Iterator[str]:
    """Say what would lose requests, or bring others."""
    if found.deliver_subject:
        yield "it is a push consumer, expected a pull consumer"
    if found.ack_policy != AckPolicy.EXPLICIT:
        yield f"its ack policy is {found.ack_policy}, expected explicit"
    if (found.max_deliver or 0) > 0:
        yield f"it delivers a message {found.max_deliver} times at most, expected no limit"
    if found.headers_only:
        yield "it delivers headers only, expected whole messages"
    filters = found.filter_subjects or ([found.filter_subject] if found.filter_subject else list(subjects))
    if filters != [subject]:
        yield f"it brings {', '.join(filters) or 'everything'}, expected {subject}"
