"""Who may ask: the `Host` of a request, which a rebound name in a browser gives away, and the token."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import HttpVersion11

from watcher.core.secret import Secret
from watcher.http.address import Address, Tcp, is_loopback
from watcher.http.problems import ProblemError


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request in or ends it with a problem; `is_public` says of a path that everybody may read it.

    With a token, any Host will do: a page in a browser does not know the token, whatever its name resolves to.
    Without one only names and addresses of this machine are right, and the one that we listen on. A unix socket no
    browser can reach.
    """

    address: Address
    token: Secret | None
    is_public: Callable[[str], bool]

    def check(self, request: web.Request) -> None:
        """Accept a request.

        Raises:
            ProblemError: 401 for its token, 400 or 421 for its Host.

        """
        if self.token is not None:
            if not self.is_public(request.path):
                _check_token(request, self.token)
        elif isinstance(self.address, Tcp):
            _check_host(request, self.address.host)


def _check_token(request: web.Request, token: Secret) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.reveal().encode())
    if not is_right or scheme.lower() != "bearer":
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "Authorization: expected `Bearer` and the api_token of the configuration",
            headers={"WWW-Authenticate": 'Bearer realm="watcher"'},
        )


def _check_host(request: web.Request, own: str) -> None:
    written = request.headers.getall("Host", [])
    if not written and request.version < HttpVersion11:
        return  # as load balancers ask; every browser sends one
    found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]+))(?::\d*)?", written[0]) if len(written) == 1 else None
    if found is None:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Host: expected one, such as localhost:8480")
    host = (found[1] or found[2] or "").lower().removesuffix(".")
    if host != own.lower() and not is_loopback(host):
        detail = "Host: expected localhost, a loopback address, or the address that we listen on"
        raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, detail)
