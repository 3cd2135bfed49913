"""A pretend D7 Networks: the message logs and the login of an application."""

import re
from http import HTTPStatus

from aiohttp import web

from watcher.demo.pretend import Reply, Vendor, bearer

# https://d7networks.com/docs/ : SMS and Slack share a path, Viber and WhatsApp have their own
REPORT = re.compile(r"/(?:report/v1/(?:message|viber)-log|whatsapp/v2/report)/([^/?]+)")
LOGIN = "/auth/v1/login/application"


class D7(Vendor):
    """Takes `token`, and whatever tokens it gave at login until `expire_tokens()`."""

    token = "d7-pretend-token"
    client_id = "d7-pretend-application"
    client_secret = "d7-pretend-client-secret"

    def __init__(self) -> None:
        super().__init__()
        self._granted: set[str] = set()
        self._logins = 0

    def expire_tokens(self) -> None:
        """Refuse every token that was given at a login up to now."""
        self._granted.clear()

    async def answer(self, request: web.Request) -> Reply:
        """Serve the login and the message logs."""
        if request.raw_path == LOGIN:
            return await self._login(request)
        found = REPORT.fullmatch(request.raw_path)
        if found is None:
            return Reply(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
        if request.method != "GET":
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"}, {"Allow": "GET"})
        if bearer(request) not in {self.token, *self._granted}:
            return _error(HTTPStatus.UNAUTHORIZED, "ACCESS_TOKEN_EXPIRED", "Access token is not valid.")
        return self.told(found[1]) or _error(
            HTTPStatus.NOT_FOUND,
            "MESSAGE_LOG_NOT_EXISTS",
            "Given message request id not exists in the system. Please Try Again!",
        )

    async def _login(self, request: web.Request) -> Reply:
        if request.method != "POST":
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"}, {"Allow": "POST"})
        form = await request.post()
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return _error(HTTPStatus.UNAUTHORIZED, "APPLICATION_NOT_EXISTS", "Application does not exist.")
        self._logins += 1
        token = f"d7-pretend-login-{self._logins}"
        self._granted.add(token)
        return Reply(body={"access_token": token, "token_type": "bearer"})


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"detail": {"code": code, "message": message}})
