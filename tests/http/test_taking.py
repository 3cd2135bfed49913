"""POST /v1/watches: what becomes of requests, one or many, good or bad."""

from pathlib import Path

from http_api import REQUEST, STAMP, Served, api, problem


async def rejected(served: Served) -> list[tuple[str, str, str, bytes]]:
    rows = await served.daemon.records.rejected()
    return [(row.source, row.where, row.reason, row.raw) for row in rows]


async def test_a_new_request_is_answered_201_and_is_stored_then(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", REQUEST)
        assert (answer.status, answer.type) == (201, "application/json")
        assert answer.json == {"status": 201, "result": "new", "id": "order-42", "detail": None}
        assert answer.headers["Location"] == "/v1/watches/order-42"
        stored = await served.daemon.records.find("order-42")
        assert stored is not None
        assert (stored.provider, stored.params) == ("d7", {"request_id": "9d05"})


async def test_the_same_request_again_is_answered_200_and_says_that_nothing_changed(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.post("/v1/watches", REQUEST)
        answer = await served.post("/v1/watches", REQUEST | {"labels": {"new": "label"}})
        assert answer.status == 200
        assert answer.json == {
            "status": 200,
            "result": "known",
            "id": "order-42",
            "detail": "known already: nothing changed",
        }


async def test_the_same_id_with_other_params_is_a_conflict_and_kept(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.post("/v1/watches", REQUEST)
        other = b'{"id": "order-42", "provider": "d7", "params": {"request_id": "other"}}'
        answer = await served.post("/v1/watches", other)
        why = "conflict: the id is known with another provider or other params"
        assert (answer.status, answer.type) == (409, "application/problem+json")
        assert answer.json == problem(409, why)
        assert await rejected(served) == [("http", "127.0.0.1", why, other)]


async def test_a_request_that_is_wrong_is_answered_422_with_all_that_was_expected(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", {"provider": "d7", "labels": [], "paramz": {}})
        why = (
            "params: expected, and missing; labels: expected an object, got a list; paramz: unknown; expected one of "
            "callback_secret, callback_url, deadline, id, labels, params, provider, submitted_at, webhooks"
        )
        assert (answer.status, answer.type) == (422, "application/problem+json")
        assert answer.json == problem(422, why)


async def test_what_is_no_json_is_refused_and_kept_as_it_came(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", b"[{,")
        assert answer.status == 422
        ((source, where, reason, raw),) = await rejected(served)
        assert (source, where, raw) == ("http", "127.0.0.1", b"[{,")
        assert answer.json == problem(422, reason)
        assert (await served.post("/v1/watches", REQUEST)).status == 201


async def test_a_list_is_answered_200_with_a_status_for_each_in_its_order(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch("known")
        answer = await served.post(
            "/v1/watches",
            [
                REQUEST,
                {"id": "known", "provider": "d7", "params": {"request_id": "known"}},
                {"id": "known", "provider": "d7", "params": {"request_id": "else"}},
                {"provider": "unknown", "params": {}},
                {"cancel": "known"},
                {"cancel": "never heard of"},
                17,
            ],
        )
        assert answer.status == 200
        conflict = "conflict: the id is known with another provider or other params"
        assert answer.json == [
            {"status": 201, "result": "new", "id": "order-42", "detail": None},
            {"status": 200, "result": "known", "id": "known", "detail": "known already: nothing changed"},
            {"status": 409, "result": "conflict", "id": "known", "detail": conflict},
            {
                "status": 422,
                "result": "rejected",
                "id": None,
                "detail": "provider: 'unknown' is not configured; expected d7",
            },
            {"status": 202, "result": "cancelling", "id": "known", "detail": None},
            {
                "status": 404,
                "result": "unknown",
                "id": "never heard of",
                "detail": "unknown: there is no watch of this id",
            },
            {"status": 422, "result": "rejected", "id": None, "detail": "expected one JSON object, got a number"},
        ]
        assert [where for _, where, _, _ in await rejected(served)] == [
            "127.0.0.1[6]",
            "127.0.0.1[5]",
            "127.0.0.1[3]",
            "127.0.0.1[2]",
        ]


async def test_an_empty_list_is_no_error(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", [])
        assert (answer.status, answer.json) == (200, [])


async def test_a_list_of_a_thousand_is_taken_and_one_more_is_too_many(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        many = [{"provider": "d7", "params": {"request_id": str(number)}} for number in range(1001)]
        answer = await served.post("/v1/watches", many)
        assert answer.json == problem(422, "body: expected at most 1000 requests at once, got 1001")
        answer = await served.post("/v1/watches", many[:1000])
        assert answer.status == 200
        assert len(await served.daemon.records.watches(limit=2000)) == 1000


async def test_a_body_of_two_megabytes_is_refused_and_the_connection_serves_on(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", b'{"id": "%s"}' % (b"x" * 2_000_000))
        assert answer.json == problem(413, "body: expected at most 1024 KiB")
        assert (await served.post("/v1/watches", REQUEST)).status == 201


async def test_a_body_that_does_not_say_how_long_it_is_may_be_no_longer(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        head = b"POST /v1/watches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + 2 * chunk + b"0\r\n\r\n"
        assert (await served.raw(sent)).startswith(b"HTTP/1.1 413 ")


async def test_one_request_is_no_larger_than_from_any_source(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.post("/v1/watches", b'{"id": "%s"}' % (b"x" * 300_000))
        assert answer.json == problem(422, "expected at most 256 KiB, got more")


async def test_a_request_of_too_many_levels_stops_no_other(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        deep = b'{"provider": "d7", "params": {"request_id": %s1%s}}' % (b"[" * 500, b"]" * 500)
        answer = await served.post(
            "/v1/watches", b"[%s, %s]" % (deep, b'{"provider":"d7","params":{"request_id":"a"}}')
        )
        assert isinstance(answer.json, list)
        assert [each["status"] for each in answer.json if isinstance(each, dict)] == [422, 201]


async def test_times_and_deadlines_are_read_as_from_any_source(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        timed = REQUEST | {"deadline": "1h", "submitted_at": "2026-11-23T13:00:00+01:00"}
        assert (await served.post("/v1/watches", timed)).status == 201
        stored = await served.daemon.records.find("order-42")
        assert stored is not None
        assert stored.deadline_at.isoformat() == "2026-11-23T13:00:00+00:00"
        assert stored.accepted_at.isoformat().replace("+00:00", "Z") == STAMP


async def test_a_stored_request_rings_the_feed(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.post("/v1/watches", REQUEST)
        await served.daemon.rung.wait(at_most=0)
        assert (await served.daemon.store.load(after=0, limit=10))[0].id == "order-42"
