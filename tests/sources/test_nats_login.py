"""As whom, and how well protected, a `nats` source talks to its server; and that no secret is ever shown."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats_server import SUBJECT, NatsServer, section, serving
from pydantic import ValidationError

from watcher.core.secret import Secret
from watcher.ports import Source
from watcher.sources.nats import NatsSection

PASSWORD = "p@ss/w:rd"
WRITTEN = "p%40ss%2Fw%3Ard"


async def opened(source: Source) -> str | None:
    """Open and close; say what was wrong."""
    try:
        with anyio.fail_after(5):
            await source.open(None)
    except OSError as error:
        return str(error)
    finally:
        await source.close()
    return None


def login(server: NatsServer, who: str) -> str:
    return server.url.replace("//", f"//{who}@")


# --- users, passwords, tokens ---------------------------------------------------------------------------------


async def test_a_user_and_a_password_stand_in_the_url_as_urls_write_them(tmp_path: Path) -> None:
    async with serving(tmp_path, extra=f'authorization {{ user: ann, password: "{PASSWORD}" }}') as server:
        right = section(server, servers=login(server, f"ann:{WRITTEN}"))
        wrong = section(server, servers=login(server, "ann:wr0ng"))
        none = section(server)

        assert await opened(right.source()) is None
        refused = f"127.0.0.1:{server.port}: Authorization Violation"
        assert [await opened(each.source()) for each in (wrong, none)] == [refused, refused]


async def test_a_name_alone_is_a_token(tmp_path: Path) -> None:
    async with serving(tmp_path, extra='authorization { token: "t0ken" }') as server:
        assert await opened(section(server, servers=login(server, "t0ken")).source()) is None


# --- credentials ----------------------------------------------------------------------------------------------


@dataclass
class Identity:
    """One of NATS's key pairs, by the letter that its public key begins with."""

    letter: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return _base32(bytes([_kind(self.letter)]) + self.key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        kind = _kind(self.letter)
        return _base32(bytes([_kind("S") | kind >> 5, (kind & 31) << 3]) + self.key.private_bytes_raw())

    def vouch(self, other: "Identity", **claims: object) -> str:
        """Sign a token that says who `other` is and what it may."""
        names = {"O": "operator", "A": "account", "U": "user"}
        body = {"jti": other.public, "iat": int(time.time()), "iss": self.public, "sub": other.public, "name": "test"}
        parts = (
            {"typ": "JWT", "alg": "ed25519-nkey"},
            {**body, "nats": {"type": names[other.letter], "version": 2, **claims}},
        )
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64(self.key.sign(text.encode()))}"


def _kind(letter: str) -> int:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) << 3


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def credentials(token: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


@asynccontextmanager
async def serving_an_account(folder: Path) -> AsyncIterator[tuple[NatsServer, str]]:
    """Run a server that knows users by their credentials alone; bring those of one."""
    operator, system, account, user = (Identity(letter) for letter in "OAAU")
    everything = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf"], -1)
    storage = dict.fromkeys(["mem_storage", "disk_storage", "streams", "consumer"], -1)
    accounts = {
        system.public: operator.vouch(system, limits=everything),
        account.public: operator.vouch(account, limits={**everything, **storage, "wildcards": True}),
    }
    preload = "\n".join(f"{public}: {token}" for public, token in accounts.items())
    extra = f"""
    operator: {operator.vouch(operator)}
    system_account: {system.public}
    resolver: MEMORY
    resolver_preload: {{ {preload} }}
    """
    token = account.vouch(user, subs=-1, data=-1, payload=-1)
    async with serving(folder, extra=extra) as server:
        yield server, credentials(token, user.seed)


async def test_credentials_are_a_path_or_a_reference_to_their_text(tmp_path: Path) -> None:
    async with serving_an_account(tmp_path) as (server, text):
        files = {"file:nats.creds": text, "env:CREDS": text}
        context = {"folder": tmp_path, "resolve": files.__getitem__}
        sections = [
            NatsSection.model_validate({"type": "nats", "servers": server.url, "credentials": written}, context=context)
            for written in ("nats.creds", "file:nats.creds", "env:CREDS")
        ]
        stranger = section(server, credentials=Secret("env:X", credentials("eyJ9", Identity("U").seed)))

        assert [await opened(each.source()) for each in sections] == [None, None, None]
        assert [str(each.credentials) for each in sections] == [
            "Secret(file:nats.creds)",
            "Secret(file:nats.creds)",
            "Secret(env:CREDS)",
        ]
        assert await opened(stranger.source()) == f"127.0.0.1:{server.port}: Authorization Violation"


# --- TLS ------------------------------------------------------------------------------------------------------


@dataclass
class Trust:
    """An authority, and the files of what it vouches for."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        for name in ("127.0.0.1", "client@watcher.example"):
            issued = self.authority.issue_cert(name)
            place = self.folder / name.partition("@")[0]
            issued.private_key_pem.write_to_path(f"{place}.key")
            issued.cert_chain_pems[0].write_to_path(f"{place}.pem")

    def server(self, more: str = "") -> str:
        return f'tls {{ cert_file: "{self.folder}/127.0.0.1.pem", key_file: "{self.folder}/127.0.0.1.key" {more} }}'


async def test_a_server_is_believed_if_its_certificate_is_trusted(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    (tmp_path / "other").mkdir()
    Trust(tmp_path / "other")
    async with serving(tmp_path, extra=trust.server()) as server:
        texts = [
            await opened(section(server, **keys).source())
            for keys in (
                {"ca_file": tmp_path / "ca.pem"},
                {"ca_file": tmp_path / "other" / "ca.pem"},
                {},
                {"ca_file": tmp_path / "missing.pem"},
                {"ca_file": tmp_path / "nats.conf"},
            )
        ]

    assert texts[0] is None
    assert all("CERTIFICATE_VERIFY_FAILED" in str(text) for text in texts[1:3])
    assert str(texts[3]).endswith(f"No such file or directory: '{tmp_path}/missing.pem'")
    assert str(texts[4]).startswith(f"127.0.0.1:{server.port}: expected PEM in ca_file, ")


async def test_a_server_that_asks_for_a_certificate_is_shown_one(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    more = f', verify: true, ca_file: "{tmp_path}/ca.pem"'
    async with serving(tmp_path, extra=trust.server(more)) as server:
        keys = {"ca_file": "ca.pem", "client_cert": "client.pem", "client_key": "client.key"}
        shown = NatsSection.model_validate(
            {"type": "nats", "servers": server.url, **keys}, context={"folder": tmp_path}
        )
        hidden = section(server, ca_file=tmp_path / "ca.pem")

        assert await opened(shown.source()) is None
        assert await opened(hidden.source()) is not None


async def test_no_password_is_told_to_a_server_without_tls_where_tls_is_wanted() -> None:
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload": 1048576, "auth_required": true}\r\n')
        while data := await reader.read(1000):
            heard.extend(data)
            writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    place = "{}:{}".format(*server.sockets[0].getsockname())
    for url in (f"tls://ann:hidden@{place}", f"tls://t0ken@{place}", f"tls://{place}"):
        source = NatsSection.model_validate({"type": "nats", "servers": url}).source()
        assert await opened(source) == f"{place}: secure connection not available"
    server.close()
    await server.wait_closed()

    assert b"hidden" not in heard
    assert b"t0ken" not in heard


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_needs_nothing_but_its_type() -> None:
    found = NatsSection.model_validate({"type": "nats"})

    assert [server.reveal() for server in found.servers] == ["nats://127.0.0.1:4222"]
    assert (found.stream, found.subject, found.durable) == ("WATCHER", SUBJECT, "watcher")
    assert found.credentials is None


def test_a_url_is_shown_unless_it_holds_a_login() -> None:
    written = ["nats://one.example", "nats://ann:hidden@two.example:4222", "env:THIRD"]
    servers = NatsSection.model_validate({"type": "nats", "servers": written}).servers

    assert [(str(server), server.is_literal) for server in servers] == [
        ("Secret(nats://one.example)", False),
        ("Secret(********)", True),
        ("Secret(env:THIRD)", False),
    ]


@pytest.mark.parametrize(
    "keys",
    [
        {"servers": []},
        {"servers": "localhost"},
        {"servers": "http://hidden.example"},
        {"servers": "nats://"},
        {"servers": "nats://ann:hidden@host:port"},
        {"servers": "nats://ann:hidden@host/path"},
        {"servers": ["nats://ann:hid#den@host"]},
        {"stream": "two words"},
        {"stream": "a.b"},
        {"durable": ""},
        {"subject": "a..b"},
        {"subject": "a b"},
        {"client_key": "key.pem"},
        {"credentials": Secret("env:CREDS", "hidden, and no credentials")},
        {"url": "nats://localhost"},
    ],
)
def test_what_cannot_be_meant_is_refused_without_showing_a_secret(keys: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        NatsSection.model_validate({"type": "nats", **keys})

    assert "hid" not in str(caught.value)


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.sources.nats.find_spec", lambda _name: None)

    with pytest.raises(ValidationError, match=r'pip install "watcher\[nats\]"'):
        NatsSection.model_validate({"type": "nats"})
