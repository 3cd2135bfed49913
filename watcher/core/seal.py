"""Secrets of callers at rest: encrypted, and authenticated. Under which keys, and what is in them, is said elsewhere.

Needs `cryptography`, which the extra `ed25519` brings.
"""

import base64
from collections.abc import Sequence

NONCE = 12  # bytes
_PURPOSE = b"watcher callback_secret"


class Seal:
    """Seals under the first of some keys, and opens what was sealed under any of them, so that they can be rotated."""

    __slots__ = ("_ciphers",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys that others sign with; what is sealed here is under keys that only follow from them.

        Raises:
            ImportError: `cryptography` is missing.

        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  # an extra

        self._ciphers = [AESGCM(HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(key)) for key in keys]

    def shut(self, secret: str, *, place: str, nonce: bytes) -> str:
        """Seal a secret for one place; `nonce` is 12 random bytes, never the same again."""
        return base64.b64encode(nonce + self._ciphers[0].encrypt(nonce, secret.encode(), place.encode())).decode()

    def open(self, sealed: str, *, place: str) -> str | None:
        """Return the secret; None if it was sealed under another key, or for another place."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # an extra

        raw = base64.b64decode(sealed)
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(raw[:NONCE], raw[NONCE:], place.encode()).decode()
            except InvalidTag:
                continue
        return None
