"""`jwt:`: a signed token, checked more strictly than the library behind it would.

Whether one of the issuer's keys signed it, and what its header may say, is the key set's to tell; here its claims are
read: no name twice, times that are numbers, from this issuer, for us, about somebody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from extproc import (
    Authenticator,
    Clock,
    Consumer,
    File,
    InvalidToken,
    KeySet,
    KeySource,
    LocalReply,
    Ports,
    Request,
    Settings,
    check_audience,
    check_times,
    names_in,
    read_claims,
    refusal,
)

HEADER: Final = "authorization"


class JwtSettings(Settings):
    """A signed token in the header `authorization: Bearer`. A token without an end (`exp`) is refused."""

    issuer: Annotated[str, Field(min_length=1)]
    """Who makes the tokens: what their claim `iss` must be."""
    audiences: Annotated[list[str], Field(min_length=1)]
    """Whom the tokens are for: their claim `aud` must name one of these."""
    jwks: File
    """The file with the issuer's public keys (JWKS). A relative name is looked for beside gateway.yaml."""
    consumer: str = "sub"
    """The claim that says who is asking."""
    tier: str = "tier"
    """The claim that names the consumer's tier."""
    scopes: str = "scope"
    """The claim that lists what the consumer may do: a list, or a text with spaces between."""
    leeway: Annotated[int, Field(ge=0, le=60)] = 30
    """By how many seconds the issuer's clock may be wrong."""


@dataclass(frozen=True, slots=True)
class Jwt:
    name: str
    settings: JwtSettings
    keys: KeySet
    clock: Clock

    @property
    def challenge(self) -> str:
        return "Bearer"

    @property
    def credential_headers(self) -> tuple[str, ...]:
        return (HEADER,)

    def presents(self, request: Request) -> bool:
        return HEADER in request.headers

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        try:
            return self._consumer(await self._claims(_token(request.headers.all(HEADER))))
        except InvalidToken as error:
            return refusal(401, error.reason, "the token is not valid here")

    async def _claims(self, token: str) -> Mapping[str, Any]:
        claims = read_claims(await self.keys.payload_of(token))
        check_times(claims, self.clock.now(), self.settings.leeway)
        if claims.get("iss") != self.settings.issuer:
            raise InvalidToken("wrong_issuer")
        check_audience(claims.get("aud"), self.settings.audiences)
        return claims

    def _consumer(self, claims: Mapping[str, Any]) -> Consumer:
        name, tier = claims.get(self.settings.consumer), claims.get(self.settings.tier)
        if not isinstance(name, str) or not name:
            raise InvalidToken("no_consumer")
        if tier is not None and not isinstance(tier, str):
            raise InvalidToken("malformed_token")
        return Consumer(name, tier, names_in(claims.get(self.settings.scopes)), claims)


class JwtKind:
    name: ClassVar[str] = "jwt"
    Settings: ClassVar[type[JwtSettings]] = JwtSettings

    @staticmethod
    def build(name: str, settings: JwtSettings, ports: Ports) -> Authenticator:
        source = KeySource(settings.issuer, str(settings.jwks))
        return Jwt(name, settings, ports.key_sets.at(source), ports.clock)


def _token(values: Sequence[str]) -> str:
    """Two Authorization fields reach us as one value with a comma, which no compact token has."""
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise InvalidToken("not_a_bearer_token")
    return token
