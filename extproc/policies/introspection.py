"""`introspection:`: a token that its issuer is asked about (RFC 7662), and what it answered for a short while.

How long an answer is kept is how long a revoked token stays good, so that is the operator's to say. Whatever is not
plainly an answer to the question is an outage: a token is inactive where its issuer says so, not where it is silent.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote_plus, urlencode, urlsplit

from pydantic import AfterValidator, Field

from extproc import (
    Answer,
    Authenticator,
    Call,
    Clock,
    Consumer,
    Duration,
    Fetch,
    Flights,
    LocalReply,
    Ports,
    ProviderUnavailable,
    Remembered,
    Request,
    Secret,
    Settings,
    Url,
    loads_strictly,
    refusal,
)

HEADER: Final = "authorization"
MAX_TOKEN: Final = 16 * 1024  # as long as a JWT may be
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
MAX_ANSWER: Final = 16 * 1024  # it is about one token; a longer one is something else
ACTIVE_KEPT: Final = 10_000
INACTIVE_KEPT: Final = 10_000  # apart, so that a flood of bad tokens drives no good one out
IN_FLIGHT: Final = 128  # beyond what the way out has connections for, they would only wait for their deadline
LEEWAY: Final = 30  # seconds by which the issuer's clock may be ahead; it has just said that the token is active
LATEST: Final = 253_402_300_800  # the year 10000: beyond it, a date is a mistake
LONGEST_CACHE: Final = timedelta(hours=1)
LONGEST_NEGATIVE: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(seconds=10)


def _at_most(longest: timedelta, spelled: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value > longest:
            raise ValueError(f"must be at most {spelled}")
        return value

    return AfterValidator(check)


class IntrospectionSettings(Settings):
    """An opaque token in the header `authorization: Bearer`, which its issuer is asked about (RFC 7662). While the
    issuer gives no answer, callers get 503, but for those whose token was found good within `cache`."""

    endpoint: Url
    """Where to ask."""
    client_id: Annotated[str, Field(min_length=1)]
    """As whom the gateway asks."""
    client_secret: Secret
    """The gateway's own secret there, sent by HTTP Basic (RFC 6749 §2.3.1)."""
    issuer: Annotated[str, Field(min_length=1)] | None = None
    """What the answer's `iss` must be. Left out: the endpoint is believed, whichever issuer it names."""
    audiences: Annotated[list[str], Field(min_length=1)] | None = None
    """Whom tokens are for: the answer's `aud` must name one of these. Left out: a token for anybody will do, also one
    that was given out for another service."""
    consumer: str = "sub"
    """The member that says who is asking. No other takes its place: where tokens stand for clients and not for users,
    write `client_id`."""
    tier: str = "tier"
    """The member that names the consumer's tier."""
    scopes: str = "scope"
    """The member that lists what the consumer may do: a list, or a text with spaces between."""
    groups: str = "groups"
    """The member that lists the consumer's groups."""
    cache: Annotated[Duration, _at_most(LONGEST_CACHE, "1h")] = timedelta(seconds=30)
    """How long an active token is taken for active without asking again, at most until it expires: so long does a
    revoked one stay good. At most 1h."""
    negative_cache: Annotated[Duration, _at_most(LONGEST_NEGATIVE, "1m")] = timedelta(seconds=5)
    """How long a refused token is refused without asking again. At most 1m."""
    timeout: Annotated[Duration, _at_most(LONGEST_WAIT, "10s")] = timedelta(milliseconds=300)
    """How long the answer may take. Stay below `sidecar.timeout`, or Envoy gives up first."""


class Refused(Exception):
    """Why a token is not believed, as a reason code."""


@dataclass(frozen=True, slots=True)
class Introspection:
    name: str
    settings: IntrospectionSettings
    fetch: Fetch
    clock: Clock
    active: Remembered[tuple[Consumer, float]]
    inactive: Remembered[str]
    flights: Flights[Consumer | LocalReply]

    challenge: ClassVar[str] = "Bearer"
    credential_headers: ClassVar[tuple[str, ...]] = (HEADER,)

    def presents(self, request: Request) -> bool:
        return HEADER in request.headers

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        try:
            token = _token(request.headers.all(HEADER))
        except Refused as refused:
            return _refusal(str(refused))
        key = hashlib.sha256(token.encode("ascii")).digest()
        return self._known(key) or await self.flights.join(key, lambda: self._asked(token, key))

    def _known(self, key: bytes) -> Consumer | LocalReply | None:
        found = self.active.get(key)
        if found is not None and self.clock.now() < found[1]:
            return found[0]
        reason = self.inactive.get(key)
        return None if reason is None else _refusal(reason)

    async def _asked(self, token: str, key: bytes) -> Consumer | LocalReply:
        """Raises ProviderUnavailable, and then keeps nothing."""
        said = self._read(await self.fetch.send(self._question(token)))
        try:
            consumer, end = self._judged(said)
        except Refused as refused:
            self.inactive.keep(key, str(refused), self.settings.negative_cache.total_seconds())
            return _refusal(str(refused))
        kept = min(self.settings.cache.total_seconds(), end - self.clock.now())
        self.active.keep(key, (consumer, end), kept)
        return consumer

    def _question(self, token: str) -> Call:
        credentials = (
            f"{quote_plus(self.settings.client_id)}:{quote_plus(self.settings.client_secret.get_secret_value())}"
        )
        fields = (
            ("authorization", "Basic " + base64.b64encode(credentials.encode("ascii")).decode("ascii")),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        )
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode("ascii")
        timeout = self.settings.timeout.total_seconds()
        return Call(self.settings.endpoint, "POST", fields, body, timeout, MAX_ANSWER)

    def _read(self, answer: Answer) -> Mapping[str, Any]:
        """What was said about the token; RFC 7662 §2.2 demands 200 and `active` of every answer."""
        if answer.status != 200:  # noqa: PLR2004 - the one status that an answer has
            raise self._no_answer(f"status {answer.status}")
        try:
            said = loads_strictly(answer.body)
        except ValueError:
            raise self._no_answer("not the JSON of an answer") from None
        if not isinstance(said, dict) or not isinstance(said.get("active"), bool):
            raise self._no_answer("no word on whether the token is active")
        return said

    def _judged(self, said: Mapping[str, Any]) -> tuple[Consumer, float]:
        """The consumer, and when the token ends."""
        if said["active"] is not True:
            raise Refused("inactive_token")
        if said.get("cnf") is not None:  # bound to a key (RFC 7800), which nobody here has asked for
            raise Refused("unsupported_token")
        end = self._end(said)
        if self.settings.issuer is not None and said.get("iss") != self.settings.issuer:
            raise Refused("wrong_issuer")
        if self.settings.audiences is not None and not set(self._texts(said, "aud")) & set(self.settings.audiences):
            raise Refused("wrong_audience")
        return self._consumer(said), end

    def _end(self, said: Mapping[str, Any]) -> float:
        now = self.clock.now()
        end = self._time(said, "exp", LATEST)
        if end <= now:
            raise Refused("expired")
        if self._time(said, "nbf", 0) - LEEWAY > now:
            raise Refused("not_yet_valid")
        return end

    def _consumer(self, said: Mapping[str, Any]) -> Consumer:
        name, tier = said.get(self.settings.consumer), said.get(self.settings.tier)
        if not isinstance(name, str) or not name:
            raise Refused("no_consumer")
        if tier is not None and not isinstance(tier, str):
            raise self._no_answer("a tier that is no text")
        scopes = [scope for text in self._texts(said, self.settings.scopes) for scope in text.split(" ") if scope]
        groups = tuple(self._texts(said, self.settings.groups))
        return Consumer(name, tier, tuple(dict.fromkeys(scopes)), said, groups=groups)

    def _time(self, said: Mapping[str, Any], member: str, otherwise: float) -> float:
        value = said.get(member)
        if value is None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
            raise self._no_answer(f"{member} is no date")
        return float(value)

    def _texts(self, said: Mapping[str, Any], member: str) -> Sequence[str]:
        """A list of texts, or one alone."""
        value = said.get(member)
        named = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
            raise self._no_answer("a member of another type than it must have")
        return named

    def _no_answer(self, what: str) -> ProviderUnavailable:
        return ProviderUnavailable(f"{urlsplit(self.settings.endpoint).hostname}: {what}")


class IntrospectionKind:
    name: ClassVar[str] = "introspection"
    Settings: ClassVar[type[IntrospectionSettings]] = IntrospectionSettings

    @staticmethod
    def build(name: str, settings: IntrospectionSettings, ports: Ports) -> Authenticator:
        active: Remembered[tuple[Consumer, float]] = Remembered(ports.clock, ACTIVE_KEPT)
        inactive: Remembered[str] = Remembered(ports.clock, INACTIVE_KEPT)
        flights: Flights[Consumer | LocalReply] = Flights(IN_FLIGHT, "introspections", ProviderUnavailable)
        return Introspection(name, settings, ports.fetch, ports.clock, active, inactive, flights)


def _token(values: Sequence[str]) -> str:
    """Two Authorization fields reach us as one value with a comma, which no token has."""
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise Refused("not_a_bearer_token")
    if len(token) > MAX_TOKEN or not TOKEN.fullmatch(token):
        raise Refused("malformed_token")
    return token


def _refusal(reason: str) -> LocalReply:
    return refusal(401, reason, "the token is not valid here")
