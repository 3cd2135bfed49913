"""What a declared API takes on its requests: headers, and the credentials of `[providers.<name>.auth]`."""

import base64
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from watcher.core.header import OneLine, named
from watcher.core.outcome import Grant
from watcher.core.secret import Secret
from watcher.core.wire import Request
from watcher.providers import auth
from watcher.providers.account import Root

RESERVED = ("connection", "content-length", "host", "transfer-encoding")  # these frame a request, or say where it goes


def _header_name(written: str) -> str:
    name = named(written)
    if name in RESERVED:
        raise ValueError(f"expected another header than {', '.join(RESERVED)}, which are not for a section to set")
    return name


Text: TypeAlias = Annotated[str, Field(min_length=1)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]


class _Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def login(self) -> Request | None:
        """Return how to get a grant; most need none."""
        return None


class Bearer(_Credentials):
    """A token in the `authorization` header."""

    type: Literal["bearer"]
    token: OneLine

    def headers(self, grant: Grant | None) -> dict[str, str]:  # noqa: ARG002
        """Return what a request carries."""
        return {"authorization": f"Bearer {self.token.reveal()}"}


class Header(_Credentials):
    """A secret in a header of the API's own choice, such as `x-api-key`, with something before it or not."""

    type: Literal["header"]
    name: HeaderName
    value: OneLine
    prefix: Annotated[str, Field(pattern=r"^[ -~]*$")] = ""

    def headers(self, grant: Grant | None) -> dict[str, str]:  # noqa: ARG002
        """Return what a request carries."""
        return {self.name: f"{self.prefix}{self.value.reveal()}"}


class Basic(_Credentials):
    """RFC 7617."""

    type: Literal["basic"]
    username: Annotated[str, Field(pattern=r"^[^:]*$")]
    password: Secret

    def headers(self, grant: Grant | None) -> dict[str, str]:  # noqa: ARG002
        """Return what a request carries."""
        pair = base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()
        return {"authorization": f"Basic {pair}"}


class OAuth2(_Credentials):
    """Client credentials (RFC 6749, section 4.4), with the client in the form: nearly every server reads it there."""

    type: Literal["oauth2"]
    token_url: Root
    client_id: Text
    client_secret: Secret
    scope: Text | None = None
    audience: Text | None = None

    def login(self) -> Request:
        """Ask for a token; what is granted so has no refresh token."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
            "scope": self.scope,
            "audience": self.audience,
        }
        return auth.form(self.token_url, {name: value for name, value in fields.items() if value is not None})

    def headers(self, grant: Grant | None) -> dict[str, str]:
        """Return what a request carries."""
        return {"authorization": f"Bearer {auth.token(grant)}"}


Credentials: TypeAlias = Annotated[Bearer | Header | Basic | OAuth2, Field(discriminator="type")]
