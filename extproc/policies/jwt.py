"""`jwt:`: a signed token, whose issuer's keys verify it and whose claims are read here.

Whether one of those keys signed it, and what its header may say, is the key set's to tell; here it is when, by whom,
for whom and about whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from extproc import (
    ASYMMETRIC,
    Authenticator,
    Clock,
    Consumer,
    Duration,
    FileOrUrl,
    InvalidToken,
    KeySet,
    KeySource,
    LocalReply,
    Ports,
    Request,
    Secret,
    Settings,
    refusal,
)

from ._claims import check_audience, check_times, groups_in, read_claims, scopes_in
from ._verified import VerifiedTokens

HEADER: Final = "authorization"
HMAC: Final = "HS"
MEDIA_TYPE: Final = "application/"
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


class JwtSettings(Settings):
    """A signed token in the header `authorization: Bearer`. A token without an end (`exp`) is refused."""

    issuer: Annotated[str, Field(min_length=1)]
    """Who makes the tokens: what their claim `iss` must be."""
    audiences: Annotated[list[str], Field(min_length=1)]
    """Whom the tokens are for: their claim `aud` must name one of these."""
    jwks: FileOrUrl | None = None
    """The issuer's public keys (JWKS): a file, relative to gateway.yaml, or a URL, whose keys are fetched again before
    they are out of date. Left out, and with no `secret` either, the issuer's discovery document says where they are."""
    secret: Secret | None = None
    """What both the issuer and the gateway hold (HS256 and its kin). Whoever knows it can make tokens."""
    algorithms: Annotated[list[Algorithm] | None, Field(min_length=1)] = None
    """The algorithms that are accepted; a key that names none gets the first of these that fits it. Left out: every one
    whose keys are public, or HS256 where there is a `secret`."""
    types: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = ["JWT", "at+jwt"]
    """The types of tokens that are accepted (`typ`); a token that names none is a JWT. `[at+jwt]` refuses ID tokens."""
    consumer: str = "sub"
    """The claim that says who is asking."""
    tier: str = "tier"
    """The claim that names the consumer's tier."""
    scopes: str = "scope"
    """The claim that lists what the consumer may do: a list, or a text with spaces between."""
    groups: str = "groups"
    """The claim that lists whom the consumer belongs to: a list, or a text that names one."""
    leeway: Annotated[int, Field(ge=0, le=60)] = 30
    """By how many seconds the issuer's clock may be wrong."""
    max_outage: Duration = timedelta(hours=24)
    """For how long keys from a URL are believed while they cannot be fetched again."""

    @field_validator("secret")
    @classmethod
    def _one_way(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        if secret is not None and info.data.get("jwks") is not None:
            raise ValueError("write jwks or secret, not both: each says how the tokens are verified")
        return secret

    @field_validator("algorithms")
    @classmethod
    def _that_the_keys_have(cls, algorithms: list[str] | None, info: ValidationInfo) -> list[str] | None:
        """By secrets or by public keys, never both: a public key must not be taken for a secret (RFC 8725 §2.1)."""
        if algorithms is None or not {"jwks", "secret"} <= info.data.keys():
            return algorithms
        by_secret = {name.startswith(HMAC) for name in algorithms}
        if len(by_secret) > 1:
            raise ValueError("HS256, HS384 and HS512 verify with a secret, the others with a public key: not both")
        if info.data["secret"] is not None and (len(algorithms) > 1 or by_secret == {False}):
            raise ValueError("a secret verifies with one algorithm: HS256, HS384 or HS512")
        if by_secret == {True} and info.data["secret"] is None and not isinstance(info.data["jwks"], Path):
            raise ValueError("HS256, HS384 and HS512 need a secret, or a file of secrets: what is published is none")
        return algorithms

    def source(self) -> KeySource:
        default = ("HS256",) if self.secret else ASYMMETRIC
        return KeySource(
            issuer=self.issuer,
            location=str(self.jwks or ""),
            secret=self.secret.get_secret_value() if self.secret else "",
            algorithms=tuple(self.algorithms) if self.algorithms else default,
            outlast=self.max_outage.total_seconds(),
        )


@dataclass(frozen=True, slots=True)
class Jwt:
    name: str
    settings: JwtSettings
    keys: KeySet
    clock: Clock
    types: frozenset[str]
    verified: VerifiedTokens = field(default_factory=VerifiedTokens, repr=False)

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
            token = _token(request.headers.all(HEADER))
            generation, now = self.keys.generation, self.clock.now()
            known = self.verified.consumer_of(token, generation, now)
            return known or await self._verify(token, generation)
        except InvalidToken as error:
            return refusal(401, error.reason, "the token is not valid here")

    async def _verify(self, token: str, generation: int) -> Consumer:
        claims = read_claims(await self.keys.payload_of(token, self.types))
        until = check_times(claims, self.clock.now(), self.settings.leeway)
        if claims.get("iss") != self.settings.issuer:
            raise InvalidToken("wrong_issuer")
        check_audience(claims.get("aud"), self.settings.audiences)
        consumer = self._consumer(claims)
        self.verified.remember(token, generation, consumer, until)
        return consumer

    def _consumer(self, claims: Mapping[str, Any]) -> Consumer:
        name, tier = claims.get(self.settings.consumer), claims.get(self.settings.tier)
        if not isinstance(name, str) or not name:
            raise InvalidToken("no_consumer")
        if tier is not None and not isinstance(tier, str):
            raise InvalidToken("malformed_token")
        scopes, groups = scopes_in(claims.get(self.settings.scopes)), groups_in(claims.get(self.settings.groups))
        return Consumer(name, tier, scopes, claims, groups=groups)


class JwtKind:
    name: ClassVar[str] = "jwt"
    Settings: ClassVar[type[JwtSettings]] = JwtSettings

    @staticmethod
    def build(name: str, settings: JwtSettings, ports: Ports) -> Authenticator:
        types = frozenset(kind.lower().removeprefix(MEDIA_TYPE) for kind in settings.types)
        return Jwt(name, settings, ports.key_sets.at(settings.source()), ports.clock, types)


def _token(values: Sequence[str]) -> str:
    """Two Authorization fields reach us as one value with a comma, which no compact token has."""
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise InvalidToken("not_a_bearer_token")
    return token
