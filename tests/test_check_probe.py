"""`watcher check` names what is wrong in a declared provider, and `--probe` shows what a real answer means."""

from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess

import forked
import pytest
import pytest_asyncio
from aiohttp import web

from watcher.demo.pretend import serving

CANARY = "canary-7f3a"
CONFIG = """
[providers.jobs]
type = "http"
url = "{url}/jobs/{{id}}"
headers = {{ X-Api-Key = "{canary}-key", X-Team = "blue" }}
status = "{status}"
progress = "progress"
messages = "parts"
message_id = "id"
message_status = "status"
total = "total"
states = {{ running = "in_progress", done = "succeeded" }}

[providers.jobs.auth]
type = "oauth2"
token_url = "{url}/token"
client_id = "watcher"
client_secret = "env:JOBS_SECRET"
"""
SECTION = """[providers.jobs.headers]
x-api-key = "********"
x-team = "blue"

[providers.jobs.auth]
type = "oauth2"
"""


class Jobs:
    """An API that grants a token, and tells of job 7 to whoever has it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.raw_path, request.headers.get("Authorization", "")))
        if request.path == "/token":
            form = await request.post()
            known = form.get("client_secret") == f"{CANARY}-secret"
            grant = {"access_token": f"{CANARY}-token", "expires_in": 3600}
            return web.json_response(grant if known else {"error": "invalid_client"}, status=200 if known else 401)
        if request.path != "/jobs/7":
            return web.json_response({"error": "no_such_job"}, status=404)
        parts = [{"id": "a\x1b[31m", "status": "done", "to": "Ann"}, {"id": 2, "status": "odd"}]
        return web.json_response({"status": "Running", "progress": "45%", "parts": parts, "total": 3})

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        return application


@pytest_asyncio.fixture
async def jobs() -> AsyncIterator[tuple[Jobs, str]]:
    pretend = Jobs()
    async with serving(pretend.application()) as url:
        yield pretend, url


async def check(
    folder: Path,
    *options: str,
    url: str = "http://127.0.0.1:9",
    status: str = "status",
    secret: str = f"{CANARY}-secret",
) -> CompletedProcess[bytes]:
    path = folder / "watcher.toml"
    path.write_text(CONFIG.format(url=url, status=status, canary=CANARY))
    environ = {"JOBS_SECRET": secret, "COLUMNS": "200"}
    done = await forked.run("-c", str(path), "check", *options, environ=environ)
    assert CANARY.encode() not in done.stdout + done.stderr
    return done


def facts(done: CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().partition("\nprovider:")[2].splitlines()


async def test_a_probe_logs_in_asks_once_and_prints_what_it_understood(tmp_path: Path, jobs: tuple[Jobs, str]) -> None:
    pretend, url = jobs
    done = await check(tmp_path, "--probe", "--provider", "jobs", "--param", "id=7", url=url)
    assert (done.returncode, pretend.seen) == (0, [("/token", ""), ("/jobs/7", f"Bearer {CANARY}-token")])
    assert SECTION in done.stdout.decode()
    assert [line.split(maxsplit=1) for line in facts(done)] == [
        ["jobs"],
        ["http_status:", "200"],
        ["outcome:", "seen"],
        ["status:", "Running"],
        ["state:", "in_progress"],
        ["progress:", "45"],
        ["messages:", "2 of 3"],
        ["unknown:", "odd"],
        ["retry_after:", "-"],
        [],
        ["MESSAGE", "STATUS  STATE"],
        ["a\\x1b[31m", "done    succeeded"],
        ["2", "odd     in_progress"],
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"status": "state"}, ["broken", "malformed", "status: expected a word, found null"]),
        ({"secret": "another"}, ["denied", "invalid_client"]),
    ],
)
async def test_a_probe_that_understood_nothing_says_why_and_ends_with_1(
    tmp_path: Path, jobs: tuple[Jobs, str], options: dict[str, str], said: list[str]
) -> None:
    done = await check(tmp_path, "--probe", "--provider", "jobs", "--param", "id=7", url=jobs[1], **options)
    assert done.returncode == 1
    assert [line.partition(":")[2].strip() for line in facts(done)[2:]] == said


async def test_a_probe_of_nobody_says_that_there_was_no_answer(tmp_path: Path) -> None:
    done = await check(tmp_path, "--probe", "--provider", "jobs", "--param", "id=7")
    assert done.returncode == 1
    assert [line.split() for line in facts(done)[1:4]] == [
        ["http_status:", "-"],
        ["outcome:", "broken"],
        ["reason:", "unreachable"],
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--provider", "jobs"], "expected --provider only beside --probe"),
        (["--param", "id=7"], "and --param only with both"),
        (["--probe", "--param", "id=7"], "and --param only with both"),
        (["--probe", "--provider", "job"], "provider 'job' is not configured; expected one of jobs"),
        (["--probe", "--provider", "jobs"], "params: id: missing; the url names id"),
        (["--probe", "--provider", "jobs", "--param", "id"], "expected params as key=value"),
    ],
)
async def test_a_probe_that_cannot_be_meant_so_is_wrong_usage(tmp_path: Path, options: list[str], problem: str) -> None:
    done = await check(tmp_path, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert problem in " ".join(done.stderr.decode().split())


async def test_check_names_the_expression_that_is_wrong(tmp_path: Path) -> None:
    done = await check(tmp_path, status="job..status")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(
        f"{tmp_path}/watcher.toml: providers.jobs.status: expected a JMESPath expression; at character 5: Expecting: "
    )
    assert done.stderr.count(b"\n") == 1


async def test_check_warns_of_a_credential_that_is_written_out_in_a_header(tmp_path: Path) -> None:
    done = await check(tmp_path)
    [warning, _nobody_is_told] = done.stderr.splitlines()
    assert done.returncode == 0
    assert warning.startswith(b"warning: providers.jobs.headers.x-api-key is written in the file itself")
