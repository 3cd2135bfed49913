"""The two ways into a UKG tenant, as `[providers.<name>.auth]`: an OpenAM login, or one at Auth0.

https://developer.ukg.com/talk/docs/ukg-authentication-doc
"""

from typing import Annotated, Literal, Self, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from watcher.core.header import OneLine
from watcher.core.outcome import Grant
from watcher.core.secret import Secret
from watcher.core.wire import Request
from watcher.providers.account import Root
from watcher.providers.auth import form, with_headers

Text: TypeAlias = Annotated[str, Field(min_length=1)]


class OpenAm(BaseModel):
    """The legacy login: a password grant, refreshed while the server allows it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["openam"]
    username: Text
    password: Secret
    client_id: Text
    client_secret: Secret
    app_key: OneLine | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries beside its token; older gateways ask for the key, newer ones ignore it."""
        return {"appkey": self.app_key.reveal()} if self.app_key else {}

    def login(self, root: str, grant: Grant | None) -> Request:
        """Refresh the grant if it can be refreshed, else log in."""
        if grant and (refresh_token := grant.values.get("refresh_token")):
            proof = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        else:
            proof = {"grant_type": "password", "username": self.username, "password": self.password.reveal()}
        client = {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}
        fields = {**proof, **client, "auth_chain": "OAuthLdapService"}
        return with_headers(form(f"{root}/api/authentication/access_token", fields), self.headers)


class Auth0(BaseModel):
    """The current login: of a user in the tenant's realm, or of the client itself in an organization."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["auth0"]
    token_url: Root
    audience: Text
    client_id: Text
    client_secret: Secret
    username: Text | None = None
    password: Secret | None = None
    realm: Text | None = None
    organization: Text | None = None

    @model_validator(mode="after")
    def _one_principal(self) -> Self:
        user = [key is not None for key in (self.username, self.password, self.realm)]
        if any(user) != all(user) or all(user) == (self.organization is not None):
            raise ValueError('expected either "username", "password" and "realm", or "organization"')
        return self

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries beside its token: https://developer.ukg.com/proplatform/docs/obtaining-bearer-tokens."""
        return {"global-tenant-id": self.organization} if self.organization else {}

    def login(self, root: str, grant: Grant | None) -> Request:  # noqa: ARG002  # elsewhere, and nothing to refresh
        """Log in at Auth0, which speaks JSON."""
        fields = {
            "audience": self.audience,
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
            **(self._user() or {"grant_type": "client_credentials", "organization": self.organization}),
        }
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return Request("POST", self.token_url, headers, orjson.dumps(fields))

    def _user(self) -> dict[str, str | None]:
        if self.password is None:
            return {}
        return {
            "grant_type": "http://auth0.com/oauth/grant-type/password-realm",
            "username": self.username,
            "password": self.password.reveal(),
            "realm": self.realm,
        }
