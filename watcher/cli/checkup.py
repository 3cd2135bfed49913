"""What `webhook test` and `webhook doctor` print: the facts, line by line, and what a person should do about them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from watcher.cli.moments import quick, when
from watcher.cli.standing import sentence
from watcher.cli.text import harmless
from watcher.core.delivery import Attempt
from watcher.core.standing import Standing
from watcher.core.webhook import Kind
from watcher.core.webhook_section import Webhook
from watcher.doctor import TEST, Examination, Names, Tls, Trial

SOON = timedelta(days=14)
MOST_BODY = 500  # bytes of a body, on a terminal
SLOW = 0.5  # of the timeout


def answer(trial: Trial) -> Iterator[str]:
    """Yield the lines about one test POST."""
    attempt = trial.attempt
    yield _fact("test", f"{trial.event_id}, of the watch {TEST}, {'signed' if trial.is_signed else 'not signed'}")
    yield _fact("status", attempt.status if attempt.error is None else attempt.error)
    yield _fact("means", trial.kind.replace("_", " "))
    yield _fact("address", attempt.address)
    yield _fact("took", took(attempt))
    if location := attempt.headers.get("location"):
        yield _fact("location", f"{location} (not followed)")
    if attempt.body:
        yield _fact("body", shortened(attempt.body))


def took(attempt: Attempt) -> str:
    """Say how long an attempt took, in all and by phase."""
    timing = attempt.timing
    phases = {"dns": timing.dns, "connect": timing.connect, "tls": timing.tls, "first byte": timing.first_byte}
    parts = [f"{name} {quick(seconds)}" for name, seconds in phases.items() if seconds is not None]
    return quick(attempt.duration) + (f" ({', '.join(parts)})" if parts else "")


def shortened(body: bytes) -> str:
    """Return the beginning of a body, as text."""
    return body[:MOST_BODY].decode("utf-8", "backslashreplace") + ("…" if len(body) > MOST_BODY else "")


def screen(found: Examination, webhook: Webhook, known: Sequence[Standing] = ()) -> Iterator[str]:
    """Yield the lines of an examination; `known` is how the webhooks stand that lead there."""
    now = datetime.now(UTC)
    yield _fact("url", webhook.url.partition("?")[0])
    for each in known:
        yield from _standing(each, now=now)
    yield from _names(found.names)
    if found.refused:
        yield _fact("refused", f"{found.refused}; nothing was sent")
    if found.tls:
        yield from _tls(found.tls, now=now)
    if found.trial:
        yield from answer(found.trial)
    yield ""
    yield from advice(found, webhook, known)


def _standing(each: Standing, *, now: datetime) -> Iterator[str]:
    yield _fact("webhook", f"{each.name}, {sentence(each, now=now)}")
    if each.waiting:
        yield _fact("waiting", f"{each.waiting:,}, the first since {when(each.oldest_waiting, now)}")
    if each.exhausted:
        yield _fact("given up", f"{each.exhausted:,}")
    yield _fact("last 2xx", when(each.last_good_at, now) if each.last_good_at else "none yet")


def _names(names: Names) -> Iterator[str]:
    if names.error:
        yield _fact("dns", f"{names.error}, after {quick(names.duration)}")
    elif names.duration is not None:
        yield _fact("dns", quick(names.duration))
    for named in names.addresses:
        verdict = f"{named.why_not}: refused where private = false" if named.why_not else f"{named.address} is public"
        yield _fact("address", verdict)


def _tls(tls: Tls, *, now: datetime) -> Iterator[str]:
    yield _fact("tls", f"{tls.version or '-'}, " + (f"not trusted: {tls.error}" if tls.error else "trusted"))
    for certificate in tls.chain:
        names = f", for {', '.join(certificate.names)}" if certificate.names else ""
        until = f"expires {when(certificate.expires_at, now)}"
        yield _fact("", f"{certificate.subject}{names}, from {certificate.issuer}, {until}")


def advice(found: Examination, webhook: Webhook, known: Sequence[Standing] = ()) -> list[str]:
    """Say what to do, a line each; what hinders most comes first."""
    told = [*_about_receiver(found, webhook), *(line for each in known for line in _about_standing(each))]
    return told or ["All is well: it takes events."]


def _about_standing(each: Standing) -> Iterator[str]:
    """Say what to do once the receiver is well."""
    enable = f"`watcher webhook enable {each.name}`"
    match each.state:
        case "disabled":
            yield f"Nothing is sent to {each.name}, which is disabled: {enable} once the receiver is well."
        case "breaker_open":
            yield f"The breaker of {each.name} is open until a probe is taken: {enable} closes it now."
        case "paused":
            yield f"{each.name} is paused, as it asked for: {enable} ends that now."
        case _:
            pass
    if each.exhausted:
        yield f"Send again what was given up: `watcher replay --webhook {each.name} --since 7d --status exhausted`."


def _about_receiver(found: Examination, webhook: Webhook) -> list[str]:
    now = datetime.now(UTC)
    if found.refused:
        return [f"Not to be called: {found.refused}. Another address, or the network in the section's `private`."]
    if found.names.error or found.trial is None:
        return ["Mind the name in the url, and the DNS of this machine: the name leads nowhere."]
    return [*_about_tls(found.tls, now=now), *_about_answer(found.trial, webhook)]


def _about_tls(tls: Tls | None, *, now: datetime) -> Iterator[str]:
    if tls is None:
        return
    first = tls.chain[0] if tls.chain else None
    if tls.error:
        yield f"Mend the receiver's TLS ({tls.error}). An authority of your own goes into the section's ca_file."
    if first and first.expires_at < now:
        yield "Renew the receiver's certificate: it has expired."
    elif first and first.expires_at < now + SOON:
        yield f"Renew the receiver's certificate soon: it expires {when(first.expires_at, now)}."


def _about_answer(trial: Trial, webhook: Webhook) -> Iterator[str]:
    attempt = trial.attempt
    if attempt.status is None:
        yield from _about_silence(attempt)
    elif not trial.is_accepted:
        yield _refusals(trial)
    elif attempt.duration > SLOW * webhook.timeout.total_seconds():
        yield f"It takes events slowly: answer first and work later, the timeout is {harmless(webhook.timeout)}."
    parts = urlsplit(webhook.url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        yield "Use https://: events can be read on the way."
    if not trial.is_signed:
        yield "Sign what you send: --secret env:NAME here, `secret` in the section; `watcher secret new` prints one."


def _about_silence(attempt: Attempt) -> Iterator[str]:
    match (attempt.error or "").partition(":")[0]:
        case "tls":  # which is said already, where it is a certificate
            yield "No event arrives before its TLS is in order."
        case "timeout":
            yield "Look whether it is up, and whether a firewall lets us through: there was no answer in time."
        case "local":
            yield "Look at this machine's network: the fault is on our side."
        case _:
            yield "Look whether the receiver is up and the port is right: there was no answer."


def _refusals(trial: Trial) -> str:
    """Say what to do about an answer that is no 2xx."""
    attempt = trial.attempt
    match trial.kind, attempt.status:
        case Kind.DISABLED, _:
            return "It says that it wants no events any more: the daemon would disable it, and keep what waits."
        case Kind.ABORTED, _:
            return "It gives up what it is sent: the daemon would not try this event again."
        case Kind.PAUSED, _:
            return "It asks for a rest: the daemon would pause it, and go on then."
        case Kind.TOO_LARGE, _:
            return "It takes no body of this size: raise its limit."
        case _, HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | HTTPStatus.BAD_REQUEST if not trial.is_signed:
            return "It may want a signature: try --secret env:NAME."
        case _, HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | HTTPStatus.BAD_REQUEST:
            return "Compare the secret at both ends, and the clocks: this POST was signed, and was refused."
        case _, HTTPStatus.NOT_FOUND | HTTPStatus.METHOD_NOT_ALLOWED:
            return "Mind the path of the url: nothing takes a POST there."
        case _, status if status is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return "Write the address behind the redirect into the url: redirects are not followed."
        case _:
            return "Look into the receiver's own log: it failed."


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _fact(name: str, value: object) -> str:
    return f"{name + ':' if name else '':<10}{harmless(value)}"
