"""The identity provider: where to send a browser, and what a code is worth."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from pydantic import TypeAdapter, ValidationError

from extproc import (
    Answer,
    Call,
    Clock,
    Fetch,
    Flights,
    InvalidToken,
    KeySet,
    ProviderUnavailable,
    Url,
    loads_strictly,
)

from .._claims import check_audience, check_times, read_claims
from .settings import LoginSettings

DISCOVERY: Final = "/.well-known/openid-configuration"
KEPT: Final = 3_600 * 1_000_000_000  # nanoseconds for which a provider's document is believed
LARGEST: Final = 256 * 1024
OK, BAD_REQUEST, SERVER_ERROR = 200, 400, 500
REACHABLE: Final[TypeAdapter[str]] = TypeAdapter(Url)


@dataclass(frozen=True, slots=True)
class Endpoints:
    authorization: str
    token: str
    names_itself: bool = False
    """Whether every way back says whom it comes from (RFC 9207 §3)."""


@dataclass(slots=True)
class Provider:
    """Asked when somebody signs in, and never for somebody who has."""

    settings: LoginSettings
    fetch: Fetch
    keys: KeySet
    clock: Clock
    _found: tuple[int, Endpoints] | None = field(default=None, init=False)
    _lookups: Flights[Endpoints] = field(default_factory=lambda: Flights(1, "lookups", ProviderUnavailable), init=False)

    async def authorization_url(self, state: str, nonce: str, challenge: str) -> str:
        """Raises ProviderUnavailable."""
        where = (await self._endpoints()).authorization
        asked = {
            "response_type": "code", "client_id": self.settings.client_id, "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.settings.request_scopes), "state": state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"

    async def sent(self, issuer: str | None) -> bool:
        """Whether a way back that says so, or nothing, comes from this provider (RFC 9207 §2.4)."""
        if issuer is None:
            return not (await self._endpoints()).names_itself
        return issuer == self.settings.issuer

    async def claims_for(self, code: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """Who the code stands for (OpenID Connect Core §3.1.3).

        Raises:
            InvalidToken: the provider does not know the code, or its ID token is not for us, now and this login.
            ProviderUnavailable: it could not be asked.
        """
        token = _id_token(await self._exchanged(code, verifier))
        claims = read_claims(await self.keys.payload_of(token, types=("jwt",)))
        check_times(claims, self.clock.now(), self.settings.leeway)
        if claims.get("iss") != self.settings.issuer:
            raise InvalidToken("wrong_issuer")
        check_audience(claims.get("aud"), (self.settings.client_id,))
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.settings.client_id:
            raise InvalidToken("wrong_audience")  # OpenID Connect Core §3.1.3.7, 4 and 5
        if claims.get("nonce") != nonce:
            raise InvalidToken("wrong_nonce")
        return claims

    @property
    def _redirect_uri(self) -> str:
        return self.settings.url + self.settings.callback

    async def _exchanged(self, code: str, verifier: str) -> Answer:
        """RFC 6749 §4.1.3, with the proof that who asks is who began (RFC 7636)."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }  # fmt: skip
        call = Call(
            (await self._endpoints()).token,
            "POST",
            (
                ("authorization", _basic(self.settings.client_id, self.settings.client_secret.get_secret_value())),
                ("content-type", "application/x-www-form-urlencoded"),
                ("accept", "application/json"),
            ),
            urlencode(form).encode(),
            max_bytes=LARGEST,
        )
        return await self.fetch.send(call)

    async def _endpoints(self) -> Endpoints:
        written = self.settings
        if written.authorization_endpoint and written.token_endpoint:
            return Endpoints(written.authorization_endpoint, written.token_endpoint)
        if self._found is not None and self.clock.monotonic() - self._found[0] <= KEPT:
            return self._found[1]
        return await self._lookups.join(DISCOVERY.encode(), self._looked_up)

    async def _looked_up(self) -> Endpoints:
        issuer = self.settings.issuer
        answer = await self.fetch.send(Call(issuer.rstrip("/") + DISCOVERY, max_bytes=LARGEST))
        self._found = (self.clock.monotonic(), _discovered(answer, issuer))
        return self._found[1]


def _basic(user: str, password: str) -> str:
    """RFC 6749 §2.3.1: both are form-encoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(user)}:{quote_plus(password)}".encode()).decode()


def _discovered(answer: Answer, issuer: str) -> Endpoints:
    document = _document(answer)
    if answer.status != OK or document.get("issuer") != issuer:  # OpenID Connect Discovery §4.3
        raise ProviderUnavailable("the provider's configuration is not that of its issuer")
    try:
        return Endpoints(
            REACHABLE.validate_python(document.get("authorization_endpoint")),
            REACHABLE.validate_python(document.get("token_endpoint")),
            document.get("authorization_response_iss_parameter_supported") is True,
        )
    except ValidationError:
        raise ProviderUnavailable("the provider's configuration names no endpoints that may be used") from None


def _id_token(answer: Answer) -> str:
    """RFC 6749 §5.2: a refusal is 400 or 401; anything else that is not 200 is no answer."""
    if BAD_REQUEST <= answer.status < SERVER_ERROR:
        raise InvalidToken("login_refused")
    token = _document(answer).get("id_token")
    if answer.status != OK or not isinstance(token, str):
        raise ProviderUnavailable("the provider's token endpoint gave no ID token")
    return token


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = loads_strictly(answer.body)
    except ValueError:
        raise ProviderUnavailable("the provider answered no JSON") from None
    if not isinstance(document, dict):
        raise ProviderUnavailable("the provider answered no JSON object")
    return document
