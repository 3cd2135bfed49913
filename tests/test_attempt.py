"""What is kept of a webhook's answer: enough to explain it, and nothing that is secret."""

from make import START

from watcher.attempt import MOST_BODY, record
from watcher.core.wire import Response


def test_no_header_that_is_secret_is_kept_and_of_the_body_only_the_beginning() -> None:
    secretive = ("authorization", "cookie", "proxy-authorization", "set-cookie", "webhook-signature")
    headers = {"content-type": "text/plain", **dict.fromkeys(secretive, "CANARY")}
    answer = Response(500, headers, b"x" * (MOST_BODY + 1), START)
    kept = record(answer, number=1, began_at=START, duration=0.1)
    assert kept.headers == {"content-type": "text/plain"}
    assert kept.body == b"x" * MOST_BODY
