"""A pretend Amazon Chime SDK messaging: GetChannelMessageStatus, its signature recomputed with botocore."""

import hmac
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib.util import find_spec
from urllib.parse import parse_qs, quote, unquote, urlsplit

from aiohttp import web

from watcher.demo.pretend import Reply, Vendor

if find_spec("botocore"):  # or the demo shows the others only
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

STATUS = re.compile(r"/channels/([^/]+)/messages/([^/]+)")
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
MOMENT = "%Y%m%dT%H%M%SZ"
LARGEST_SKEW = timedelta(minutes=5)
MUST_BE_SIGNED = {"host", "x-amz-chime-bearer", "x-amz-date"}


def signs_for_aws() -> bool:
    """Is botocore there, without which no daemon takes a section of this type?"""
    return find_spec("botocore") is not None


class Chime(Vendor):
    """Knows one key, one channel and the one user who sent its messages."""

    region = "us-east-1"
    access_key_id = "AKIDPRETENDEXAMPLE"
    secret_access_key = "chime-pretend-secret-access-key"
    bearer = "arn:aws:chime:us-east-1:123456789012:app-instance/pretend/user/alice@example.com"
    channel_arn = "arn:aws:chime:us-east-1:123456789012:app-instance/pretend/channel/general"

    async def answer(self, request: web.Request) -> Reply:
        """Serve the status of channel messages; an operation of a script is a message id."""
        parts = urlsplit(request.raw_path)
        found = STATUS.fullmatch(parts.path)
        if found is None or request.method != "GET":
            return _error(HTTPStatus.NOT_FOUND, "UnknownOperationException", "")
        if problem := self._unsigned(request):
            return problem
        channel, message = (unquote(segment) for segment in found.groups())
        if parse_qs(parts.query).get("scope") != ["message-status"]:
            return _error(HTTPStatus.BAD_REQUEST, "BadRequestException", "BadRequest")
        if (channel, request.headers["x-amz-chime-bearer"]) != (self.channel_arn, self.bearer):
            return _error(HTTPStatus.FORBIDDEN, "ForbiddenException", "Forbidden")
        return self.told(message) or _error(HTTPStatus.NOT_FOUND, "NotFoundException", "NotFound")

    def _unsigned(self, request: web.Request) -> Reply | None:
        """Return what AWS says to a request that is not signed, or not over exactly these bytes."""
        found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return _error(HTTPStatus.FORBIDDEN, "MissingAuthenticationTokenException", "")
        key, day, region, service, signed, signature = found.groups()
        if key != self.access_key_id:
            return _error(HTTPStatus.FORBIDDEN, "UnrecognizedClientException", "")
        moment = request.headers.get("x-amz-date", "")
        names = signed.split(";")
        is_sound = (
            (region, service) == (self.region, "chime")
            and set(names) >= MUST_BE_SIGNED
            and all(name in request.headers for name in names)
            and moment.startswith(day)
            and _is_recent(moment)
            and _is_encoded(urlsplit(request.raw_path).path)
            and hmac.compare_digest(self._signature(request, names, moment), signature)
        )
        return None if is_sound else _error(HTTPStatus.FORBIDDEN, "InvalidSignatureException", "")

    def _signature(self, request: web.Request, names: list[str], moment: str) -> str:
        asked = AWSRequest(
            method=request.method,
            url=f"http://{request.headers['host']}{request.raw_path}",
            headers={name: request.headers[name] for name in names},
        )
        asked.context["timestamp"] = moment
        signer = SigV4Auth(Credentials(self.access_key_id, self.secret_access_key), "chime", self.region)
        return signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked)


def _is_recent(moment: str) -> bool:
    try:
        signed_at = datetime.strptime(moment, MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(datetime.now(UTC) - signed_at) <= LARGEST_SKEW


def _is_encoded(path: str) -> bool:
    """Is every segment percent-encoded as botocore does it, where only RFC 3986's unreserved characters stay?"""
    return all(quote(unquote(segment), safe="-._~") == segment for segment in path.split("/"))


def _error(status: int, name: str, code: str) -> Reply:
    # the exception's name is in the header; `Code` is another word for it, and only Chime's own errors have one
    return Reply(status, {"Code": code, "Message": name} if code else {"message": name}, {"x-amzn-ErrorType": name})
