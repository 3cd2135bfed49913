"""Who may ask: tokens, the Host of a request, and what a page in a browser can try."""

from pathlib import Path

from http_api import ANY, REQUEST, Served, api, problem
from nats_server import free_port

from watcher.core.secret import Secret
from watcher.http.address import Tcp, Unix
from watcher.http.guard import Guard

TOKEN = "a-token-of-äöü"
FOREIGN = "Host: expected localhost, a loopback address, or the address that we listen on"


async def statuses(served: Served, hosts: list[str]) -> list[int]:
    return [(await served.get("/v1/watches", {"Host": host})).status for host in hosts]


async def test_without_a_token_only_names_of_this_machine_are_answered(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        own = ["localhost", "localhost:8480", "LocalHost.", "127.0.0.1", "127.0.0.1:1", "127.8.9.1", "[::1]:8480"]
        assert await statuses(served, own) == [200] * len(own)
        foreign = [
            "evil.example",
            "evil.example:8480",
            "localhost.evil.example",
            "10.0.0.1",
            "[2001:db8::1]",
            "0.0.0.0",  # noqa: S104
        ]
        assert await statuses(served, foreign) == [421] * len(foreign)
        answer = await served.post("/v1/watches", REQUEST, {"Host": "evil.example"})
        assert answer.json == problem(421, FOREIGN)
        assert await served.daemon.records.watches() == []


async def test_a_host_that_is_none_is_a_bad_request(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for host in ["", "a b", "[::1", "::1", "localhost:x", "localhost:1:2", "user@localhost:"]:
            status = (await served.get("/v1/watches", {"Host": host})).status
            assert status in {400, 421}
        assert b"400 Bad Request" in await served.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        twice = b"GET /v1/watches HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        assert b"400 Bad Request" in await served.raw(twice)


async def test_a_load_balancer_of_the_last_century_may_send_no_host(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        assert (await served.raw(b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 OK")


async def test_with_a_token_any_host_is_answered_but_only_with_the_token(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        right = {"Authorization": f"Bearer {TOKEN}", "Host": "watcher.example.com"}
        assert (await served.get("/v1/watches", right)).status == 200
        assert (await served.post("/v1/watches", REQUEST, right)).status == 201


async def test_a_wrong_token_is_401_everywhere_but_at_health_and_public_keys(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        wrong = [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
        ]
        for headers in wrong:
            for path in ["/v1/watches", "/metrics", "/openapi.json", "/v1/events/stream", "/nothing"]:
                answer = await served.get(path, headers)
                assert answer.json == problem(
                    401, "Authorization: expected `Bearer` and the api_token of the configuration"
                )
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="watcher"'
            for path in ["/healthz", "/readyz", "/.well-known/webhook-keys"]:
                assert (await served.get(path, headers)).status == 200
        assert (await served.get("/v1/watches", {"Authorization": f"bearer  {TOKEN} "})).status == 200


async def test_a_token_of_odd_bytes_is_only_wrong(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        head = b"GET /v1/watches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        assert (await served.raw(head + b"Authorization: Bearer \xff\xfe\r\n\r\n")).startswith(b"HTTP/1.1 401")


def test_the_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(Guard(ANY, Secret.literal(TOKEN), set().__contains__))


async def test_a_unix_socket_is_asked_under_any_name(tmp_path: Path) -> None:
    async with api(tmp_path, address=Unix(tmp_path / "http.sock")) as served:
        assert (await served.get("/v1/watches", {"Host": "anything"})).status == 200
        await served.post("/v1/watches", {"provider": "nobody", "params": {}})
        ((where, mode),) = [
            (row.where, oct((tmp_path / "http.sock").stat().st_mode & 0o777))
            for row in await served.daemon.records.rejected()
        ]
        assert (where, mode) == ("unix socket", "0o660")
    assert not (tmp_path / "http.sock").exists()


async def test_the_name_that_we_listen_on_is_ours(tmp_path: Path) -> None:
    async with api(tmp_path, address=Tcp("LOCALHOST", free_port())) as served:
        assert await statuses(served, ["localhost:1", "evil.example"]) == [200, 421]


async def test_a_page_elsewhere_can_write_nothing_and_read_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        origin = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        assert (await served.post("/v1/watches", REQUEST, origin)).status == 415
        asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await served.ask("OPTIONS", "/v1/watches", headers=asking)
        assert answer.status == 405
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_writing_needs_json_that_is_called_so(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for content in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x", ""]:
            answer = await served.post("/v1/watches", REQUEST, {"Content-Type": content})
            assert answer.json == problem(415, "Content-Type: expected application/json")
        for content in ["application/json; charset=utf-8", "Application/JSON"]:
            assert (await served.post("/v1/watches", REQUEST, {"Content-Type": content})).status in {200, 201}
        answer = await served.post("/v1/watches", REQUEST, {"Content-Encoding": "gzip"})
        assert answer.json == problem(415, "Content-Encoding: expected none")


async def test_who_accepts_no_json_is_told_what_there_is(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for accept in ["", "*/*", "application/*", "text/html, application/json;q=0.5", "APPLICATION/JSON"]:
            assert (await served.get("/v1/watches", {"Accept": accept})).status == 200
        for accept in ["text/html", "application/json;q=0", "application/json; q=0.000", ",", "x"]:
            answer = await served.get("/v1/watches", {"Accept": accept})
            assert answer.json == problem(406, "Accept: expected application/json among what is accepted")
        answer = await served.get("/v1/events/stream", {"Accept": "application/json"})
        assert answer.json == problem(406, "Accept: expected text/event-stream among what is accepted")
