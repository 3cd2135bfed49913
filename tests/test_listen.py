"""`watcher listen` prints what came without trusting it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import IO

import forked
import pytest
from signed import SECRET, event, headers

from watcher.demo.terminal import shown


@contextmanager
def listening(*options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Run `watcher listen`; yield the process, its port, and the configuration that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", "listen", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    with process:
        try:
            printed = "".join(output(process).readline() for _ in range(5))
            yield process, int(re.findall(r'url = "http://127\.0\.0\.1:(\d+)/"', printed)[0]), printed
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def deliver(port: int, body: bytes, given: Mapping[str, str]) -> tuple[int, str | None]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", body, dict(given))
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.getheader("Retry-After")


def test_listen_prints_what_to_paste_and_each_post_and_ends_well_on_ctrl_c() -> None:
    with listening() as (process, port, printed):
        [secret] = re.findall(r'secret = "(whsec_.*)"', printed)
        body = event(sequence=3, message="m-1")
        assert "[webhooks.listen]\n" in printed
        assert deliver(port, body, headers(body, secret=secret, attempt=2)) == (204, None)
        line = output(process).readline()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d\.\d{3}  watch\.status\.changed  w-1 m-1  sent → delivered  "
            r"#3  attempt 2  ✓ verified  answered 204\n",
            line,
        )
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_listen_misbehaves_as_asked_and_does_not_print_a_secret_that_it_was_given() -> None:
    options = ("--fail", "1", "--status", "429", "--retry-after", "5", "--slow", "1ms")
    with listening(*options, WATCHER_LISTEN_SECRET=SECRET) as (process, port, printed):
        body = event()
        assert 'secret = "env:WATCHER_LISTEN_SECRET"\n' in printed
        assert [deliver(port, body, headers(body)) for _ in range(2)] == [(429, "5"), (204, None)]
        assert "✓ verified  answered 429" in output(process).readline()
        process.terminate()
        rest, _ = process.communicate(timeout=20)
        assert (SECRET in printed + rest, process.returncode) == (False, 0)


def test_a_hostile_post_does_not_reach_the_terminal_raw() -> None:
    with listening() as (process, port, _):
        hostile = "\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m[bold]"
        body = event(watch=hostile, message=hostile, before=hostile, after=hostile)
        assert deliver(port, body, {"webhook-id": "x"})[0] == 401
        line = output(process).readline()
        assert "\\x1b]0;owned\\x07\\x1b[2J\\r\\u202e\\x9b31m[bold]" in line
        assert line.removesuffix("\n").isprintable()
        assert "✗ no webhook-timestamp, webhook-signature" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--secret", "whsec_short"), "expected whsec_ and the base64"),
        (("--retry-after", "5"), "needs --fail or --status"),
        (("--slow", "soon"), "expected a duration"),
        (("--port", "70000"), "65535"),
    ],
)
async def test_wrong_usage_ends_with_status_2(options: tuple[str, ...], said: str) -> None:
    ended = await forked.run("listen", *options, environ={})
    assert (ended.returncode, said in " ".join(ended.stderr.decode().split()), ended.stdout) == (2, True, b"")


async def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await forked.run("listen", "--port", str(port), environ={})
    assert ended.returncode == 1
    [line] = ended.stderr.decode().splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: " in line


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), ("plain [red]", "plain [red]"), (3, "3"), ("a\nb", "a\\nb"), ("x" * 61, "x" * 59 + "…")],
)
def test_what_strangers_sent_is_shown_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text
