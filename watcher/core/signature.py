"""Standard Webhooks signatures: `v1` (HMAC-SHA256) and `v1a` (ed25519), over the exact bytes that are sent."""

import base64
import hmac
from collections.abc import Iterable
from functools import lru_cache
from typing import Self

EXPECTED_SECRET = "expected whsec_ and the base64 of 24 to 64 bytes; `watcher secret new` prints one"  # noqa: S105
EXPECTED_KEY = (
    "expected whsk_ and the base64 of an ed25519 key, its public half behind it; "
    "`watcher secret new --asymmetric` prints one"
)
SEED = 32


def decode_key(secret: str) -> bytes:
    """Return the key inside `whsec_…`.

    Raises:
        ValueError: it is not `whsec_` and the base64 of 24 to 64 bytes; the text does not hold the secret.

    """
    key = _decoded(secret.removeprefix("whsec_"))
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:  # noqa: PLR2004  # as Standard Webhooks says
        raise ValueError(EXPECTED_SECRET)
    return key


class SigningKey:
    """An ed25519 key, `whsk_…`; needs `cryptography`, which the extra `ed25519` brings."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        """Make the key of 32 secret bytes; `public` is its `whpk_…`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # an extra

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = f"whpk_{_encoded(self._key.public_key().public_bytes_raw())}"

    @classmethod
    def read(cls, written: str) -> Self:
        """Read `whsk_…`: the base64 of the seed and, as it is usual, the public key.

        Raises:
            ValueError: it is none, its halves do not belong together, or `cryptography` is missing.

        """
        raw = _decoded(written.removeprefix("whsk_"))
        if not written.startswith("whsk_") or len(raw) not in {SEED, 2 * SEED}:
            raise ValueError(EXPECTED_KEY)
        try:
            key = cls(raw[:SEED])
        except ImportError:
            raise ValueError('signing with ed25519 needs the extra: pip install "watcher[ed25519]"') from None
        if raw[SEED:] and key.public != f"whpk_{_encoded(raw[SEED:])}":
            raise ValueError(EXPECTED_KEY)
        return key

    def sign(self, content: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return self._key.sign(content)


def sign(body: bytes, *, keys: Iterable[bytes], id: str, timestamp: int, key: SigningKey | None = None) -> str:
    """Return the `webhook-signature` of these exact bytes: one `v1,…` for each of `keys`, and the `v1a,…` of `key`."""
    content = b"%s.%d.%s" % (id.encode(), timestamp, body)
    signatures = [f"v1,{_encoded(_mac(content, key=each))}" for each in keys]
    if key is not None:
        signatures.append(f"v1a,{_encoded(key.sign(content))}")
    return " ".join(signatures)


def _mac(content: bytes, *, key: bytes) -> bytes:
    mac = _keyed(key).copy()  # unlike hmac.digest this makes no state of the key, and lets no other thread in
    mac.update(content)
    return mac.digest()


@lru_cache(maxsize=100)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or not even ASCII
        return b""
