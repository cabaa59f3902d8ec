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
    loads_strictly,
    refusal,
)

LATEST: Final = 253_402_300_800  # the year 10000: beyond it, a date is a mistake
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
        claims = _object(await self.keys.payload_of(token))
        check_times(claims, self.clock.now(), self.settings.leeway)
        if claims.get("iss") != self.settings.issuer:
            raise InvalidToken("wrong_issuer")
        _check_audience(claims.get("aud"), self.settings.audiences)
        return claims

    def _consumer(self, claims: Mapping[str, Any]) -> Consumer:
        name, tier = claims.get(self.settings.consumer), claims.get(self.settings.tier)
        if not isinstance(name, str) or not name:
            raise InvalidToken("no_consumer")
        if tier is not None and not isinstance(tier, str):
            raise InvalidToken("malformed_token")
        return Consumer(name, tier, _scopes(claims.get(self.settings.scopes)), claims)


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


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        value = loads_strictly(payload)
    except ValueError:
        raise InvalidToken("malformed_token") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed_token")
    return value


def check_times(claims: Mapping[str, Any], now: float, leeway: int) -> None:
    """`exp` must be there; `nbf` and `iat` must hold where they are (RFC 7519 §4.1.4 to §4.1.6)."""
    if _time(claims, "exp", required=True) + leeway <= now:
        raise InvalidToken("expired")
    if _time(claims, "nbf") - leeway > now or _time(claims, "iat") - leeway > now:
        raise InvalidToken("not_yet_valid")


def _time(claims: Mapping[str, Any], name: str, *, required: bool = False) -> float:
    if name not in claims and not required:
        return 0.0
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken("malformed_token")
    if not 0 <= value < LATEST:  # before it becomes a float, which not every integer can
        raise InvalidToken("malformed_token")
    return float(value)


def _check_audience(audience: Any, accepted: Sequence[str]) -> None:
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise InvalidToken("wrong_audience")
    if not set(named) & set(accepted):
        raise InvalidToken("wrong_audience")


def _scopes(value: Any) -> tuple[str, ...]:
    """A space-delimited text (RFC 8693 §4.2) or a list of texts."""
    if value is None:
        return ()
    named = value.split(" ") if isinstance(value, str) else value
    if not isinstance(named, list) or not all(isinstance(item, str) and " " not in item for item in named):
        raise InvalidToken("malformed_token")  # a space inside one would make it two for the upstream
    return tuple(dict.fromkeys(item for item in named if item))
