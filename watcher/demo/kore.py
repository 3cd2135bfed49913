"""A pretend Kore.ai: the status of proactive notifications, behind a JWT that it really checks."""

import re
from http import HTTPStatus

import jwt
from aiohttp import web

from watcher.demo.pretend import Reply, Vendor

STATUS = re.compile(r"/api/public/bot/([^/?]+)/notify(?:V2)?/status/([^/?]+)")


class Kore(Vendor):
    """Serves one bot; with `enforce_jti` a token without a fresh `jti` is refused, as the app's setting does."""

    bot_id = "st-pretend-bot"
    client_id = "cs-pretend-client"
    client_secret = "kore-pretend-client-secret-of-32-bytes-and-more"

    def __init__(self) -> None:
        super().__init__()
        self.enforce_jti = False
        self._used: set[str] = set()

    async def answer(self, request: web.Request) -> Reply:
        """Serve the status of notifications."""
        found = STATUS.fullmatch(request.raw_path)
        if found is None:
            return _error(HTTPStatus.NOT_FOUND, 404, "Not Found")
        if request.method != "GET":
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, 405, "Method Not Allowed")
        if not self._admits(request.headers.get("auth", "")):
            return _error(HTTPStatus.UNAUTHORIZED, 4002, "Invalid SDK credentials")
        bot, operation = found.groups()
        if bot != self.bot_id:
            return _error(HTTPStatus.FORBIDDEN, 403, "Permission denied")
        return self.told(operation) or _error(HTTPStatus.NOT_FOUND, 404, "Request not found")

    def _admits(self, token: str) -> bool:
        required = ["sub", "jti"] if self.enforce_jti else ["sub"]
        try:
            claims = jwt.decode(token, self.client_secret, algorithms=["HS256"], options={"require": required})
        except jwt.InvalidTokenError:
            return False
        jti = str(claims.get("jti", ""))
        is_replay = self.enforce_jti and jti in self._used
        self._used.add(jti)
        # https://docs.kore.ai : the key must be spelled exactly so
        return claims.get("appId") == self.client_id and not is_replay


def _error(status: int, code: int, text: str) -> Reply:
    return Reply(status, {"errors": [{"msg": text, "code": code}]})
