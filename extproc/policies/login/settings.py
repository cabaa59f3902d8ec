"""What an operator says about a login."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from extproc import Duration, Name, Secret, Settings, Url

SHORTEST_SECRET = 32  # bytes: as long as the key that is made of it
ENDPOINTS = "write both authorization_endpoint and token_endpoint, or neither: then the issuer's own document is asked"


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.path.strip("/") or parts.query:
        raise ValueError("the gateway's own origin: write https://HOST, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _long(value: Secret) -> Secret:
    if len(value.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ValueError(f"a session secret has at least {SHORTEST_SECRET} bytes: openssl rand -base64 32 makes one")
    return value


OwnPath = Annotated[str, Field(max_length=200, pattern=r"^(?:/[A-Za-z0-9._~-]+)+$")]


class LoginSettings(Settings):
    """People sign in at an identity provider (OpenID Connect); a cookie that the gateway seals keeps them signed in.
    The route that serves `callback` must name this method, too. A browser that asks for a page is sent to the provider;
    whatever else has no session is refused with 401.
    """

    issuer: Url
    """Who the identity provider is: what its tokens' claim `iss` must be. Its endpoints are in the document that it
    publishes under `/.well-known/openid-configuration`."""
    client_id: Annotated[str, Field(min_length=1, max_length=256)]
    """What the provider calls this gateway."""
    client_secret: Secret
    """What the gateway shows the provider to be believed."""
    url: Annotated[Url, AfterValidator(_origin)]
    """The gateway's own origin as browsers know it: `https://shop.example.com`. It is never read from a request."""
    session_secret: Annotated[Secret, AfterValidator(_long)]
    """Seals the cookie; at least 32 bytes, the same in every sidecar. A new one signs everybody out."""
    callback: OwnPath = "/oauth2/callback"
    """The path that the provider sends browsers back to: registered there as `url` with this path."""
    logout: OwnPath = "/oauth2/logout"
    """The path that ends a session here; the provider's own goes on."""
    cookie: Name = "extproc-session"
    """The cookie's name; behind https it gets the prefix `__Host-`."""
    lifetime: Duration = timedelta(hours=8)
    """For how long a session lasts. Then the provider is asked again."""
    request_scopes: Annotated[list[str], Field(min_length=1)] = ["openid"]
    """What the provider is asked for; `openid` must be among it."""
    authorization_endpoint: Url | None = None
    """Where browsers are sent, where that is not to be looked up."""
    token_endpoint: Url | None = None
    """Where codes are exchanged for tokens, where that is not to be looked up."""
    jwks: Url | None = None
    """The URL of the provider's keys, where that is not to be looked up."""
    consumer: str = "sub"
    """The claim of the ID token that says who is asking."""
    tier: str = "tier"
    """The claim that names the consumer's tier."""
    scopes: str = "scope"
    """The claim that lists what the consumer may do: a list, or a text with spaces between."""
    groups: str = "groups"
    """The claim that lists the consumer's groups."""
    leeway: Annotated[int, Field(ge=0, le=60)] = 30
    """By how many seconds the provider's clock may be wrong."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.authorization_endpoint is None) != (self.token_endpoint is None):
            raise ValueError(ENDPOINTS)
        if "openid" not in self.request_scopes:
            raise ValueError("openid must be among request_scopes: without it there is no ID token")
        if self.callback == self.logout:
            raise ValueError("callback and logout are two paths")
        return self
