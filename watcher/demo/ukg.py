"""A pretend UKG Talk: the status of bulk chats, its 303 and the result, behind an OpenAM login."""

import re
import time
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from watcher.demo.pretend import Reply, Script, Stage, Vendor, bearer

LOGIN = "/api/authentication/access_token"
ASYNC = "/api/talk/chat/v1/messages/async"
ASKED = re.compile(rf"{ASYNC}/([^/?]+)/(status|response)")


class Ukg(Vendor):
    """Takes `token`, and whatever tokens it gave at login until `expire_tokens()`; refresh tokens work once."""

    token = "ukg-pretend-token"
    username = "pretend-user"
    password = "ukg-pretend-password"
    client_id = "ukg-pretend-client"
    client_secret = "ukg-pretend-client-secret"
    app_key = "ukg-pretend-app-key"

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, Script] = {}
        self._granted: set[str] = set()
        self._refreshable: set[str] = set()
        self._logins = 0

    def script(self, operation: str, stages: Sequence[Stage], *, results: Sequence[Stage] = ()) -> None:
        """As for every vendor; after a stage of `Reply(303)` the result is asked, and answered from `results`.

        Without `results` it has expired by then.
        """
        super().script(operation, stages)
        self._results.pop(operation, None)
        if results:
            self._results[operation] = Script(results)

    def expire_tokens(self) -> None:
        """Refuse every access token that was given at a login up to now."""
        self._granted.clear()

    async def answer(self, request: web.Request) -> Reply:
        """Serve the login, the status and the result."""
        if request.raw_path == LOGIN:
            return await self._login(request)
        found = ASKED.fullmatch(request.raw_path)
        if found is None:
            return _problem(HTTPStatus.NOT_FOUND)
        if request.method != "GET":
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED)
        if request.headers.get("Accept", "application/json") != "application/json":
            return _problem(HTTPStatus.NOT_ACCEPTABLE)
        if bearer(request) not in {self.token, *self._granted}:
            return _problem(HTTPStatus.UNAUTHORIZED)
        operation, asked = found.groups()
        reply = self._status(operation) if asked == "status" else self._result(operation)
        return reply or _problem(HTTPStatus.NOT_FOUND)

    def _status(self, operation: str) -> Reply | None:
        reply = self.told(operation)
        if reply is None or reply.status != HTTPStatus.SEE_OTHER:
            return reply
        # Content-Location, and not Location: UKG's page of the status operation
        return Reply(reply.status, reply.body, {"Content-Location": f"{ASYNC}/{operation}/response", **reply.headers})

    def _result(self, operation: str) -> Reply | None:
        script, results = self._scripts.get(operation), self._results.get(operation)
        if script is None or results is None or script.last is None or script.last.status != HTTPStatus.SEE_OTHER:
            return None
        return results.reply(now=time.monotonic())

    async def _login(self, request: web.Request) -> Reply:
        if request.method != "POST":
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED)
        if request.content_type != "application/x-www-form-urlencoded" or request.headers.get("appkey") != self.app_key:
            return _problem(HTTPStatus.BAD_REQUEST)
        form = dict(await request.post())
        client = (form.get("client_id"), form.get("client_secret"), form.get("auth_chain"))
        if client != (self.client_id, self.client_secret, "OAuthLdapService") or not self._admits(form):
            return Reply(HTTPStatus.UNAUTHORIZED, {"error": "invalid_grant", "error_description": "Not authorized."})
        self._logins += 1
        token, refresh_token = f"ukg-pretend-login-{self._logins}", f"ukg-pretend-refresh-{self._logins}"
        self._granted.add(token)
        self._refreshable.add(refresh_token)
        return Reply(
            body={
                "access_token": token,
                "refresh_token": refresh_token,
                "scope": "openid",
                "token_type": "Bearer",
                "expires_in": 1800,
            }
        )

    def _admits(self, form: dict[str, str | bytearray | bytes | web.FileField]) -> bool:
        match form.get("grant_type"):
            case "password":
                return (form.get("username"), form.get("password")) == (self.username, self.password)
            case "refresh_token":
                token = str(form.get("refresh_token", ""))
                is_known = token in self._refreshable
                self._refreshable.discard(token)
                return is_known
            case _:
                return False


def _problem(status: HTTPStatus) -> Reply:
    return Reply(
        status,
        {"type": "about:blank", "title": status.phrase, "status": status.value},
        {"Content-Type": "application/problem+json"},
    )
