"""The pretend D7, Kore and UKG answer what their scripts say, and refuse what the vendors refuse."""

import time
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import jwt
import pytest
import pytest_asyncio
from asking import ask

from watcher.core.model import Json
from watcher.demo.kore import Kore
from watcher.demo.pretend import Reply, Script, Stage
from watcher.demo.ukg import ASYNC, LOGIN, Ukg
from watcher.demo.vendors import Vendors

D7_LOG = "/report/v1/message-log/r-1"
KORE_STATUS = f"/api/public/bot/{Kore.bot_id}/notify/status/ds-1"
UKG_STATUS = f"{ASYNC}/op-1/status"


@pytest_asyncio.fixture
async def vendors() -> AsyncIterator[Vendors]:
    async with Vendors.start() as vendors:
        yield vendors


# --- scripts ----------------------------------------------------------------------------------------------------


def test_a_script_goes_on_with_time_and_skips_no_stage() -> None:
    script = Script([(0.0, "a"), (1.0, "b"), (2.0, "c")])
    assert [script.reply(now=now).body for now in (10.0, 10.9, 11.0, 11.5, 15.0, 99.0)] == list("aabbcc")


def test_a_script_that_is_late_still_answers_each_stage_once() -> None:
    script = Script([(0.0, "a"), (1.0, "b"), (2.0, "c")])
    assert [script.reply(now=now).body for now in (10.0, 50.0, 50.0, 50.0)] == list("abcc")


async def test_an_answer_may_be_any_bytes_with_any_status_and_headers(vendors: Vendors) -> None:
    vendors.d7.script("r-1", [(0.0, Reply(503, b"<html>", {"Retry-After": "7", "Content-Type": "text/html"}))])
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {vendors.d7.token}"}) as session,
        session.get(vendors.d7.url + D7_LOG) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"], await answer.read()) == (503, "7", b"<html>")


async def test_every_request_is_in_the_history(vendors: Vendors) -> None:
    begun_at = time.monotonic()
    await ask(f"{vendors.d7.url}{D7_LOG}%2Fx?a=%3A", method="DELETE")
    [visit] = vendors.d7.history
    assert (visit.method, visit.path, visit.status) == ("DELETE", f"{D7_LOG}%2Fx?a=%3A", 404)
    assert begun_at <= visit.at <= time.monotonic()


# --- D7 ---------------------------------------------------------------------------------------------------------


async def test_d7_answers_a_right_token_with_the_document(vendors: Vendors) -> None:
    vendors.d7.script("r-1", [(0.0, {"request_id": "r-1"})])
    status, body, _ = await ask(vendors.d7.url + D7_LOG, {"Authorization": f"Bearer {vendors.d7.token}"})
    assert (status, body) == (200, {"request_id": "r-1"})


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic d7-pretend-token", "d7-pretend-token"])
async def test_d7_refuses_other_tokens(vendors: Vendors, header: str) -> None:
    vendors.d7.script("r-1", [(0.0, {})])
    status, body, _ = await ask(vendors.d7.url + D7_LOG, {"Authorization": header})
    assert status == 401
    assert body == {"detail": {"code": "ACCESS_TOKEN_EXPIRED", "message": "Access token is not valid."}}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", D7_LOG, 405),
        ("GET", "/report/v2/message-log/r-1", 404),
        ("GET", "/report/v1/message-log/unknown", 404),
        ("GET", "/auth/v1/login/application", 405),
    ],
)
async def test_d7_refuses_other_methods_and_paths(vendors: Vendors, method: str, path: str, status: int) -> None:
    vendors.d7.script("r-1", [(0.0, {})])
    headers = {"Authorization": f"Bearer {vendors.d7.token}"}
    assert (await ask(vendors.d7.url + path, headers, method=method))[0] == status


async def test_d7_takes_the_token_of_a_login_until_it_expires(vendors: Vendors) -> None:
    d7 = vendors.d7
    d7.script("r-1", [(0.0, {})])
    login = partial(ask, d7.url + "/auth/v1/login/application", method="POST")
    assert (await login(form={"client_id": d7.client_id, "client_secret": "wrong"}))[0] == 401
    status, body, _ = await login(form={"client_id": d7.client_id, "client_secret": d7.client_secret})
    assert (status, body) == (200, {"access_token": "d7-pretend-login-1", "token_type": "bearer"})
    assert (await ask(d7.url + D7_LOG, {"Authorization": "Bearer d7-pretend-login-1"}))[0] == 200
    d7.expire_tokens()
    assert (await ask(d7.url + D7_LOG, {"Authorization": "Bearer d7-pretend-login-1"}))[0] == 401


# --- Kore -------------------------------------------------------------------------------------------------------


def kore_token(secret: str = Kore.client_secret, algorithm: str = "HS256", **claims: Json) -> str:
    return jwt.encode({"sub": "1", "appId": Kore.client_id, **claims}, secret, algorithm=algorithm)


async def test_kore_answers_a_right_jwt_with_the_document(vendors: Vendors) -> None:
    vendors.kore.script("ds-1", [(0.0, {"status": "SUCCESS"})])
    assert (await ask(vendors.kore.url + KORE_STATUS, {"auth": kore_token()}))[:2] == (200, {"status": "SUCCESS"})
    version_2 = KORE_STATUS.replace("notify", "notifyV2")
    assert (await ask(vendors.kore.url + version_2, {"auth": kore_token(exp=int(time.time()) + 60)}))[0] == 200


@pytest.mark.parametrize(
    "token",
    [
        "",
        f"Bearer {kore_token()}",
        kore_token("another-secret-that-is-long-enough-to-be-used"),
        kore_token("another-secret-that-is-long-enough-to-be-used" * 2, "HS512"),
        kore_token(appId="cs-other"),
        kore_token(exp=1),
        jwt.encode({"appId": Kore.client_id}, Kore.client_secret),
        jwt.encode({"sub": "1", "appid": Kore.client_id}, Kore.client_secret),
    ],
)
async def test_kore_refuses_other_tokens(vendors: Vendors, token: str) -> None:
    vendors.kore.script("ds-1", [(0.0, {})])
    status, body, _ = await ask(vendors.kore.url + KORE_STATUS, {"auth": token})
    assert (status, body) == (401, {"errors": [{"msg": "Invalid SDK credentials", "code": 4002}]})


async def test_kore_refuses_the_token_in_authorization(vendors: Vendors) -> None:
    vendors.kore.script("ds-1", [(0.0, {})])
    assert (await ask(vendors.kore.url + KORE_STATUS, {"Authorization": kore_token()}))[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", KORE_STATUS, 405),
        ("GET", KORE_STATUS.replace("ds-1", "ds-2"), 404),
        ("GET", KORE_STATUS.replace(Kore.bot_id, "st-other"), 403),
        ("GET", "/api/public/bot/status/ds-1", 404),
    ],
)
async def test_kore_refuses_other_methods_and_paths(vendors: Vendors, method: str, path: str, status: int) -> None:
    vendors.kore.script("ds-1", [(0.0, {})])
    assert (await ask(vendors.kore.url + path, {"auth": kore_token()}, method=method))[0] == status


async def test_kore_with_enforced_jti_takes_each_token_once(vendors: Vendors) -> None:
    vendors.kore.enforce_jti = True
    vendors.kore.script("ds-1", [(0.0, {})])
    tokens = [kore_token(), kore_token(jti="a"), kore_token(jti="a"), kore_token(jti="b")]
    answers = [(await ask(vendors.kore.url + KORE_STATUS, {"auth": token}))[0] for token in tokens]
    assert answers == [401, 200, 401, 200]


# --- UKG --------------------------------------------------------------------------------------------------------


async def ukg(vendors: Vendors, path: str, *, accept: str = "application/json", token: str = Ukg.token) -> int:
    return (await ask(vendors.ukg.url + path, {"Accept": accept, "Authorization": f"Bearer {token}"}))[0]


async def test_ukg_goes_from_pending_over_303_to_the_result(vendors: Vendors) -> None:
    script: list[Stage] = [(0.0, {"state": "PENDING", "progress": 5}), (0.0, Reply(303))]
    vendors.ukg.script("op-1", script, results=[(0.0, Reply(207, {"results": []}))])
    headers = {"Accept": "application/json", "Authorization": f"Bearer {Ukg.token}"}
    assert (await ask(f"{vendors.ukg.url}{ASYNC}/op-1/response", headers))[0] == 404
    assert (await ask(vendors.ukg.url + UKG_STATUS, headers))[:2] == (200, {"state": "PENDING", "progress": 5})
    status, body, answered = await ask(vendors.ukg.url + UKG_STATUS, headers)
    assert (status, body, "Location" in answered) == (303, None, False)
    assert (await ask(vendors.ukg.url + answered["Content-Location"], headers))[:2] == (207, {"results": []})


async def test_a_ukg_result_without_a_script_has_expired(vendors: Vendors) -> None:
    vendors.ukg.script("op-1", [(0.0, Reply(303))])
    assert await ukg(vendors, UKG_STATUS) == 303
    assert await ukg(vendors, f"{ASYNC}/op-1/response") == 404


@pytest.mark.parametrize("accept", ["*/*", "application/problem+json", "application/json, */*", "text/html"])
async def test_ukg_answers_406_to_any_other_accept(vendors: Vendors, accept: str) -> None:
    vendors.ukg.script("op-1", [(0.0, {})])
    assert await ukg(vendors, UKG_STATUS, accept=accept) == 406


async def test_ukg_tells_errors_as_problem_json(vendors: Vendors) -> None:
    status, body, headers = await ask(vendors.ukg.url + UKG_STATUS, {"Accept": "application/json"})
    assert (status, headers["Content-Type"]) == (401, "application/problem+json")
    assert body == {"type": "about:blank", "title": "Unauthorized", "status": 401}


async def test_ukg_refuses_other_tokens_methods_and_paths(vendors: Vendors) -> None:
    vendors.ukg.script("op-1", [(0.0, {})])
    assert await ukg(vendors, UKG_STATUS, token="wrong") == 401
    assert await ukg(vendors, f"{ASYNC}/op-2/status") == 404
    assert await ukg(vendors, "/api/talk/chat/v1/messages") == 404
    assert (await ask(vendors.ukg.url + UKG_STATUS, method="POST"))[0] == 405
    assert (await ask(vendors.ukg.url + LOGIN))[0] == 405


LOGIN_FORM = {
    "grant_type": "password",
    "auth_chain": "OAuthLdapService",
    "username": Ukg.username,
    "password": Ukg.password,
    "client_id": Ukg.client_id,
    "client_secret": Ukg.client_secret,
}


async def test_ukg_takes_the_token_of_a_login_and_renews_it_once(vendors: Vendors) -> None:
    vendors.ukg.script("op-1", [(0.0, {})])
    login = partial(ask, vendors.ukg.url + LOGIN, method="POST", headers={"appkey": Ukg.app_key})
    status, body, _ = await login(form=LOGIN_FORM)
    assert (status, body) == (
        200,
        {
            "access_token": "ukg-pretend-login-1",
            "refresh_token": "ukg-pretend-refresh-1",
            "scope": "openid",
            "token_type": "Bearer",
            "expires_in": 1800,
        },
    )
    assert await ukg(vendors, UKG_STATUS, token="ukg-pretend-login-1") == 200
    vendors.ukg.expire_tokens()
    assert await ukg(vendors, UKG_STATUS, token="ukg-pretend-login-1") == 401
    again = {**LOGIN_FORM, "grant_type": "refresh_token", "refresh_token": "ukg-pretend-refresh-1"}
    assert [(await login(form=again))[0] for _ in range(2)] == [200, 401]
    assert await ukg(vendors, UKG_STATUS, token="ukg-pretend-login-2") == 200


@pytest.mark.parametrize("changed", ["grant_type", "auth_chain", "username", "password", "client_id", "client_secret"])
async def test_ukg_refuses_another_login(vendors: Vendors, changed: str) -> None:
    form = {**LOGIN_FORM, changed: "wrong"}
    status, body, _ = await ask(vendors.ukg.url + LOGIN, method="POST", form=form, headers={"appkey": Ukg.app_key})
    assert (status, body) == (401, {"error": "invalid_grant", "error_description": "Not authorized."})


async def test_ukg_refuses_a_login_without_the_app_key(vendors: Vendors) -> None:
    assert (await ask(vendors.ukg.url + LOGIN, method="POST", form=LOGIN_FORM))[0] == 400
