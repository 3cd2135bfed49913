"""The doctor shows whatever certificate there is, trusted or not, and says what to do about it."""

import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from examining import found, told, trial
from make import SECRET
from raw_server import answer, listening

from watcher.cli.checkup import screen
from watcher.core.delivery import Attempt
from watcher.core.webhook import Kind
from watcher.core.webhook_section import Webhook
from watcher.demo.pretend import serving
from watcher.demo.receiver import Receiver
from watcher.doctor import Certificate, Examination, Names, Tls, Trial

AUTHORITY = trustme.CA(organization_name="Acme", organization_unit_name="Roots")
NEXT_CENTURY = datetime(2124, 1, 1, tzinfo=UTC)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


def secured(
    *names: str, by: trustme.CA = AUTHORITY, common_name: str | None = None, until: datetime = NEXT_CENTURY
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = by.issue_cert(
        *names, common_name=common_name, not_before=datetime(2001, 1, 1, tzinfo=UTC), not_after=until
    )
    issued.configure_cert(context)
    return context


async def test_a_good_certificate_is_shown_with_its_chain_and_its_expiry(ca_file: Path) -> None:
    between = AUTHORITY.create_child_ca()
    context = secured("127.0.0.1", "hooks.example.com", by=between, common_name="hooks")
    async with listening(answer(), tls=context) as server:
        examination = await found(f"https://127.0.0.1:{server.port}/", ca_file=str(ca_file))
    assert examination.tls is not None
    [first, second] = examination.tls.chain
    assert first == Certificate("hooks", second.subject, NEXT_CENTURY, ("127.0.0.1", "hooks.example.com"))
    assert (second.issuer, second.names) == ("Acme, Roots", ())
    assert (examination.tls.version, examination.tls.error) == ("TLSv1.3", None)
    assert (trial(examination).is_accepted, told(examination)) == (True, ["All is well: it takes events."])
    assert (
        f"          hooks, for 127.0.0.1, hooks.example.com, from {second.subject}, expires 2124-01-01T00:00:00Z"
        in [line.partition(" (in")[0] for line in screen(examination, Webhook(url="https://127.0.0.1/", unsigned=True))]
    )


@pytest.mark.parametrize(
    ("context", "is_trusted", "error", "said"),
    [
        (secured("127.0.0.1"), False, "unable to get local issuer certificate", []),
        (secured("example.com"), True, "IP address mismatch, certificate is not valid for '127.0.0.1'.", []),
        (
            secured("127.0.0.1", until=datetime(2002, 1, 1, tzinfo=UTC)),
            True,
            "certificate has expired",
            ["Renew the receiver's certificate: it has expired."],
        ),
    ],
)
async def test_a_bad_certificate_is_shown_all_the_same_and_nothing_is_sent(
    ca_file: Path, context: ssl.SSLContext, error: str, said: list[str], *, is_trusted: bool
) -> None:
    async with listening(answer(), tls=context) as server:
        url = f"https://127.0.0.1:{server.port}/"
        examination = await found(url, **({"ca_file": str(ca_file)} if is_trusted else {}))
        assert server.heads == []
    assert examination.tls is not None
    assert (examination.tls.error, len(examination.tls.chain)) == (error, 1)
    assert told(examination) == [
        f"Mend the receiver's TLS ({error}). An authority of your own goes into the section's ca_file.",
        *said,
        "No event arrives before its TLS is in order.",
    ]


async def test_a_server_that_speaks_no_tls_is_named() -> None:
    async with serving(Receiver([SECRET]).application()) as url:
        examination = await found(url.replace("http://", "https://"), timeout="5s")
    assert examination.tls is not None
    assert (examination.tls.chain, trial(examination).is_accepted) == ((), False)
    assert told(examination)[0].startswith("Mend the receiver's TLS (")


def test_a_certificate_that_expires_soon_is_named_in_time() -> None:
    soon = datetime.now(UTC) + timedelta(days=3, minutes=1)
    tls = Tls("TLSv1.3", (Certificate("hooks", "Acme", soon),))
    attempt = Attempt(1, soon, 0.1, 204)
    examination = Examination(
        Names(), tls=tls, trial=Trial("evt_1", is_signed=True, attempt=attempt, kind=Kind.DELIVERED)
    )
    [line] = told(examination)
    assert re.fullmatch(r"Renew the receiver's certificate soon: it expires \S+ \(in 3d\)\.", line)
