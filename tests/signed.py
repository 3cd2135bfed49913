"""Events as a receiver gets them, signed by the reference implementation."""

import base64
import json
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def event(
    *, sequence: int = 1, watch: str = "w-1", message: str | None = None, before: str = "sent", after: str = "delivered"
) -> bytes:
    data = {"watch": watch, "provider": "d7", "sequence": sequence, "message": message, "from": before, "to": after}
    return json.dumps({"type": "watch.status.changed", "timestamp": "…", "data": data}).encode()


def headers(body: bytes, *, id: str = "evt_1", secret: str = SECRET, attempt: int = 1) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, now, body.decode()),
        "watcher-attempt": str(attempt),
    }
