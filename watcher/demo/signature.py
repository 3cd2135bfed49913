"""Standard Webhooks signatures as a receiver checks them: its own small code, so that it proves what the daemon sends.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
FEWEST, MOST = 24, 64
TOLERANCE = 300.0
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


def fresh_secret() -> str:
    """Make a `whsec_…` that nobody else has."""
    return PREFIX + base64.b64encode(secrets.token_bytes(FEWEST)).decode()


def read_key(secret: str) -> bytes:
    """Return the key inside a `whsec_…`.

    Raises:
        ValueError: it is not one; the text says what was expected, never the secret.

    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not FEWEST <= len(key) <= MOST:
        raise ValueError(f"expected {PREFIX} and the base64 of {FEWEST} to {MOST} bytes")
    return key


def signature(key: bytes, *, id: str, timestamp: str, body: bytes) -> bytes:
    """Return one `v1,…` over exactly these bytes."""
    signed = f"{id}.{timestamp}.".encode(errors="surrogateescape") + body
    return b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))


def problem(keys: Sequence[bytes], *, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Say why a POST does not verify, or None; `now` is Unix seconds. `headers` must not mind upper and lower case."""
    event, timestamp, signatures = (headers.get(name, "") for name in NAMES)
    absent = [name for name in NAMES if not headers.get(name)]
    if absent:
        return f"no {', '.join(absent)}"
    if not re.fullmatch(r"\d{1,12}", timestamp, re.ASCII):
        return "webhook-timestamp is no number of seconds"
    if abs(now - int(timestamp)) > TOLERANCE:
        return f"webhook-timestamp is {now - int(timestamp):+.0f} s away from now"
    given = [entry.encode(errors="surrogateescape") for entry in signatures.split(" ")]
    right = [signature(key, id=event, timestamp=timestamp, body=body) for key in keys]
    if any(hmac.compare_digest(mine, theirs) for mine in right for theirs in given):
        return None
    return "no signature matches"
