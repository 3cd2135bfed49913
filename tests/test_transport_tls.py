"""A webhook's TLS files: what they do, and what is said of those that cannot be used."""

import re
import ssl
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from anyio import to_thread
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from raw_server import answer, listening

from watcher.core.errors import ConfigError
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.transport import open_transport, tls_context

OURS, THEIRS = trustme.CA(), trustme.CA()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write all the files that one can have, good ones and others."""
    mine, other = (THEIRS.issue_cert(f"{name}.example.com") for name in ("mine", "other"))
    key = load_pem_private_key(mine.private_key_pem.bytes(), password=None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary"))
    for name, content in {
        "ca.pem": OURS.cert_pem.bytes(),
        "mine.pem": mine.cert_chain_pems[0].bytes(),
        "mine.key": mine.private_key_pem.bytes(),
        "both.pem": mine.private_key_and_cert_chain_pem.bytes(),
        "other.key": other.private_key_pem.bytes(),
        "sealed.key": sealed,
        "text": b"canary",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return tmp_path


async def post(
    *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None, wants_client: bool = False
) -> Response | NoAnswer:
    """Send to a server of our authority, which may want to see a certificate of theirs."""
    tls = await to_thread.run_sync(lambda: tls_context(ca_file=ca, client_cert=cert, client_key=key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    OURS.issue_cert("127.0.0.1").configure_cert(context)
    if wants_client:
        THEIRS.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    async with listening(answer(b"safe"), tls=context) as server, open_transport(glance=99, tls=tls) as transport:
        request = Request("POST", f"https://127.0.0.1:{server.port}/", {}, b"{}")
        return await transport.send(request, within=timedelta(seconds=5))


async def test_a_ca_file_is_trusted_and_nobody_else(folder: Path) -> None:
    assert isinstance(await post(ca=folder / "ca.pem"), Response)
    assert isinstance(await post(ca=folder / "both.pem"), NoAnswer)


async def test_without_a_ca_file_the_machine_says_whom_to_trust() -> None:
    came = await post()
    assert isinstance(came, NoAnswer)
    assert came.fault is Fault.TLS


@pytest.mark.parametrize(("cert", "key"), [("mine.pem", "mine.key"), ("both.pem", None)])
async def test_a_client_certificate_is_shown(folder: Path, cert: str, key: str | None) -> None:
    shown = {"cert": folder / cert, "key": folder / key if key else None}
    assert isinstance(await post(ca=folder / "ca.pem", **shown, wants_client=True), Response)


async def test_who_shows_no_certificate_where_one_is_wanted_has_no_answer(folder: Path) -> None:
    assert isinstance(await post(ca=folder / "ca.pem", wants_client=True), NoAnswer)


def test_certificates_and_names_are_always_verified_and_old_protocols_never_spoken(folder: Path) -> None:
    for context in (tls_context(), tls_context(ca_file=folder / "ca.pem", client_cert=folder / "both.pem")):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"ca_file": "none"}, "ca_file: {folder}/none: No such file or directory"),
        ({"ca_file": "folder"}, "ca_file: {folder}/folder: Is a directory"),
        ({"ca_file": "text"}, "ca_file: {folder}/text: expected certificates in PEM"),
        ({"ca_file": "empty"}, "ca_file: {folder}/empty: expected certificates in PEM"),
        ({"ca_file": "mine.key"}, "ca_file: {folder}/mine.key: expected certificates in PEM"),
        ({"client_key": "mine.key"}, "client_key: {folder}/mine.key: of no use without client_cert"),
        ({"client_cert": "none"}, "client_cert: {folder}/none: No such file or directory"),
        ({"client_cert": "mine.pem"}, "client_cert: {folder}/mine.pem: expected a key in PEM, without password"),
        ({"client_cert": "mine.pem", "client_key": "none"}, "client_key: {folder}/none: No such file or directory"),
        (
            {"client_cert": "text", "client_key": "mine.key"},
            "client_cert: {folder}/text: expected certificates in PEM",
        ),
        (
            {"client_cert": "mine.pem", "client_key": "text"},
            "client_key: {folder}/text: expected a key in PEM, without password",
        ),
        (
            {"client_cert": "mine.pem", "client_key": "sealed.key"},
            "client_key: {folder}/sealed.key: expected a key in PEM, without password",
        ),
        (
            {"client_cert": "mine.pem", "client_key": "other.key"},
            "client_key: {folder}/other.key: expected the key of {folder}/mine.pem",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder: Path, files: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        tls_context(**{key: folder / name for key, name in files.items()})
    assert str(refused.value) == why.format(folder=folder)


def test_certificates_of_the_machine_that_cannot_be_read_now_are_no_empty_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = folder / "folder"
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=f"{unreadable}"))
    with pytest.raises(ConfigError, match=re.escape(f"ca_file (the machine's): {unreadable}: Is a directory")):
        tls_context()
