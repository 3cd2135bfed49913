"""Signatures as Standard Webhooks has them: the published vectors, its own verifier, and keys that are none."""

import base64
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from make import KEY, SECRET, whsec
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from watcher.core.signature import SigningKey, decode_key, sign

VECTORS = orjson.loads((Path(__file__).parents[1] / "vectors" / "standard_webhooks.json").read_bytes())
SYMMETRIC, ASYMMETRIC = VECTORS["symmetric"], VECTORS["asymmetric"]
SEED = b"thirty-two bytes, and no secret."
OTHER = b"another seed of thirty-two bytes"
BODY = b'{"type":"watch.finished"}'


def whsk(raw: bytes) -> str:
    return f"whsk_{base64.b64encode(raw).decode()}"


def public(seed: bytes) -> bytes:
    return base64.b64decode(SigningKey(seed).public.removeprefix("whpk_"))


def headers(signature: str, *, at: int) -> dict[str, str]:
    return {"webhook-id": "evt_0", "webhook-timestamp": str(at), "webhook-signature": signature}


def now() -> int:
    return int(datetime.now(UTC).timestamp())


# --- v1 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_key_has_24_to_64_bytes(size: int) -> None:
    assert decode_key(whsec(bytes(size))) == bytes(size)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(whsec(bytes(23)), id="too-short"),
        pytest.param(whsec(bytes(65)), id="too-long"),
        pytest.param(whsec(bytes(24)).removeprefix("whsec_"), id="without-its-prefix"),
        pytest.param(whsec(bytes(24)).replace("whsec_", "whpk_"), id="with-another-prefix"),
        pytest.param(f"{whsec(bytes(24))}\n", id="with-a-line-break"),
        pytest.param("whsec_", id="empty"),
        pytest.param("whsec_canary!canary!canary!canary!canary", id="not-base64"),
        pytest.param("whsec_canäry", id="not-ascii"),
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="expected whsec_ and the base64 of 24 to 64 bytes") as refused:
        decode_key(secret)
    assert "can" not in str(refused.value)


def test_a_signature_is_the_one_that_standard_webhooks_publishes() -> None:
    keys = [decode_key(SYMMETRIC["secret"])]
    body, timestamp = SYMMETRIC["body"].encode(), SYMMETRIC["timestamp"]
    assert sign(body, keys=keys, id=SYMMETRIC["id"], timestamp=timestamp) == SYMMETRIC["signature"]


def test_several_keys_sign_in_their_order_with_one_space_between() -> None:
    one, two = (sign(BODY, keys=[key], id="evt_0", timestamp=1) for key in (KEY, bytes(24)))
    assert sign(BODY, keys=[bytes(24), KEY], id="evt_0", timestamp=1) == f"{two} {one}"


@pytest.mark.parametrize("key", [None, SigningKey(SEED)], ids=["v1", "v1a-beside-it"])
@pytest.mark.parametrize("keys", [[KEY], [KEY, bytes(24)], [bytes(24), KEY]], ids=["alone", "newest", "oldest"])
def test_the_verifier_of_standard_webhooks_accepts_what_any_of_its_secrets_signed(
    keys: list[bytes], key: SigningKey | None
) -> None:
    at = now()
    signed = headers(sign(BODY, keys=keys, id="evt_0", timestamp=at, key=key), at=at)
    assert Verifier(SECRET).verify(BODY, signed) == {"type": "watch.finished"}


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_a_signature_is_of_the_id_the_time_the_body_and_the_secret(changed: str) -> None:
    at = now()
    signed = headers(sign(BODY, keys=[KEY], id="evt_0", timestamp=at), at=at)
    signed |= {"webhook-id": "evt_1"} if changed == "webhook-id" else {}
    signed |= {"webhook-timestamp": str(at - 1)} if changed == "webhook-timestamp" else {}
    secret = whsec(bytes(24)) if changed == "secret" else SECRET
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(BODY + b" " if changed == "body" else BODY, signed)


# --- v1a ------------------------------------------------------------------------------------------------------


def test_an_ed25519_signature_is_the_one_that_is_published() -> None:
    key = SigningKey.read(ASYMMETRIC["private"])
    body, timestamp = ASYMMETRIC["body"].encode(), ASYMMETRIC["timestamp"]
    assert key.public == ASYMMETRIC["public"]
    assert sign(body, keys=[], id=ASYMMETRIC["id"], timestamp=timestamp, key=key) == ASYMMETRIC["signature"]


def test_v1a_stands_behind_every_v1_and_is_of_the_same_bytes() -> None:
    first, second, last = sign(BODY, keys=[KEY, bytes(24)], id="evt_0", timestamp=1, key=SigningKey(SEED)).split(" ")
    assert f"{first} {second}" == sign(BODY, keys=[KEY, bytes(24)], id="evt_0", timestamp=1)
    assert last.startswith("v1a,")
    verifier = Ed25519PublicKey.from_public_bytes(public(SEED))
    verifier.verify(base64.b64decode(last.removeprefix("v1a,"), validate=True), b"evt_0.1." + BODY)
    with pytest.raises(InvalidSignature):
        verifier.verify(base64.b64decode(last.removeprefix("v1a,")), b"evt_0.2." + BODY)


def test_a_signing_key_is_its_seed_with_or_without_the_public_half() -> None:
    assert SigningKey.read(whsk(SEED)).public == SigningKey.read(whsk(SEED + public(SEED))).public
    assert SigningKey.read(whsk(SEED)).sign(BODY) == SigningKey(SEED).sign(BODY)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("whsk_canary", id="odd-base64"),
        pytest.param("whsk_canäry", id="not-ascii"),
        pytest.param("whsk_", id="empty"),
        pytest.param(whsk(SEED[:31]), id="31-bytes"),
        pytest.param(whsk(SEED + b"x"), id="33-bytes"),
        pytest.param(whsk(SEED + public(SEED) + b"x"), id="65-bytes"),
        pytest.param(whsk(SEED + public(OTHER)), id="halves-that-do-not-belong-together"),
        pytest.param(whsk(SEED).removeprefix("whsk_"), id="without-its-prefix"),
        pytest.param(whsk(SEED).replace("whsk_", "whpk_"), id="a-public-key"),
        pytest.param(SECRET, id="the-other-kind-of-secret"),
    ],
)
def test_what_is_no_signing_key_is_refused_without_being_repeated(written: str) -> None:
    with pytest.raises(ValueError, match="expected whsk_ and the base64 of an ed25519 key") as refused:
        SigningKey.read(written)
    assert not written[5:] or written[5:] not in str(refused.value)


def test_without_cryptography_a_signing_key_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ValueError, match="needs the extra") as refused:
        SigningKey.read(whsk(SEED))
    assert whsk(SEED) not in str(refused.value)


def test_a_signing_key_shows_nothing_of_itself() -> None:
    key, secret = SigningKey(SEED), whsk(SEED).removeprefix("whsk_")
    assert secret not in f"{key!r}{key}{key._key!r}"
    assert repr(SEED)[2:-1] not in f"{key!r}{key}{key._key!r}"
