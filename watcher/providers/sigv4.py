"""Signing one request for AWS: botocore's Signature V4, at a moment that the caller names. No clock, no key chain."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from watcher.core.wire import Request

TIMESTAMP = "%Y%m%dT%H%M%SZ"


def sign(request: Request, keys: Mapping[str, str], *, service: str, region: str, now: datetime) -> Request:
    """Return `request` with `X-Amz-Date`, `Authorization`, and `X-Amz-Security-Token` where there is a session.

    `keys` holds `access_key_id`, `secret_access_key` and, of a session, `session_token`. What
    `SigV4Auth.add_auth` does with the clock, done step by step with `now`.
    """
    # Only a configuration with AWS in it pays for the import, or needs the package at all.
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    stamp = now.astimezone(UTC).strftime(TIMESTAMP)
    headers = {**request.headers, "X-Amz-Date": stamp}
    if token := keys.get("session_token"):
        headers["X-Amz-Security-Token"] = token
    signer = SigV4Auth(Credentials(keys["access_key_id"], keys["secret_access_key"], token), service, region)
    signed = AWSRequest(method=request.method, url=request.url, headers=headers, data=request.body)
    signed.context["timestamp"] = stamp
    signature = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
    names = signer.signed_headers(signer.headers_to_sign(signed))
    credential = signer.scope(signed)
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return replace(request, headers={**headers, "Authorization": authorization})
