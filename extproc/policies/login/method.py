"""One login: who has a session is known by it; who has none is sent away and comes back with a code.

One cookie holds either a login under way or a session, so that a finished login cannot be finished again with it. A
login is finished once, also with a copy of the cookie: its state is counted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from extproc import (
    Authenticator,
    Charge,
    Clock,
    Consumer,
    Counter,
    CounterStore,
    Hit,
    InvalidToken,
    KeySource,
    Limit,
    LocalReply,
    Per,
    Ports,
    Request,
    cookie_of,
    refusal,
)

from .._claims import groups_in, scopes_in
from .provider import Provider
from .sealing import Sealer
from .settings import LoginSettings

UNDER_WAY, SESSION = "login", "session"
PATIENCE: Final = 600  # seconds in which somebody must have signed in
ONCE: Final = Limit("login", "login", Per.ROUTE, count=1, period=2 * PATIENCE, burst=1)
LONGEST_RETURN: Final = 1_024  # characters of the page to come back to; a longer one is the start page
LONGEST_CODE: Final = 2_048


@dataclass(frozen=True, slots=True)
class Login:
    name: str
    settings: LoginSettings
    provider: Provider
    sealer: Sealer
    counters: CounterStore
    clock: Clock

    credential_headers: ClassVar[tuple[str, ...]] = ()
    challenge: ClassVar[str] = ""

    @property
    def cookie(self) -> str:
        """RFC 6265bis §4.1.3.2: with that prefix a browser takes it from this very host and by https only."""
        return f"__Host-{self.settings.cookie}" if self._secure else self.settings.cookie

    @property
    def credential_cookies(self) -> tuple[str, ...]:
        return (self.cookie,)

    def presents(self, request: Request) -> bool:
        """A way back from the provider is something to judge, too."""
        return cookie_of(request, self.cookie) is not None or self._is_own_path(request)

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        if request.path == self.settings.logout:
            return self._away("/", "logged_out", self._cookie("", 0))
        if request.path == self.settings.callback:
            return await self._returned(request)
        session = self.sealer.opened(SESSION, cookie_of(request, self.cookie) or "", self.clock.now())
        if session is None:
            return await self.invite(request) or refusal(401, "no_session", "sign in again")
        return Consumer(session["id"], session["tier"], tuple(session["scopes"]), groups=tuple(session["groups"]))

    async def invite(self, request: Request) -> LocalReply | None:
        """Sends a browser that asks for a page to the provider; nobody else can sign in."""
        if request.method != "GET" or "text/html" not in (request.headers.get("accept") or ""):
            return None
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "to": _own_page(request)}
        sealed = self.sealer.sealed(UNDER_WAY, begun, self.clock.now() + PATIENCE)
        where = await self.provider.authorization_url(state, nonce, challenge)
        return self._away(where, "login_begun", self._cookie(sealed, PATIENCE))

    async def _returned(self, request: Request) -> LocalReply:
        begun = self.sealer.opened(UNDER_WAY, cookie_of(request, self.cookie) or "", self.clock.now())
        code = _code(request.query, begun["state"], self.settings.issuer) if begun else None
        if begun is None or code is None or not await self._first_time(begun["state"], request):
            return refusal(401, "login_failed", "this login cannot be finished; begin again")
        try:
            claims = await self.provider.claims_for(code, begun["verifier"], begun["nonce"])
            content = self._session(claims)
        except InvalidToken as error:
            return refusal(401, error.reason, "the identity provider did not confirm this login")
        lifetime = self.settings.lifetime.total_seconds()
        sealed = self.sealer.sealed(SESSION, content, self.clock.now() + lifetime)
        return self._away(begun["to"], "logged_in", self._cookie(sealed, int(lifetime)))

    async def _first_time(self, state: str, request: Request) -> bool:
        charge = Charge((Hit(Counter(ONCE, (self.name, state))),), key=request.stream or None)
        return all(state.allowed for state in await self.counters.hit(charge))

    def _session(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        written = self.settings
        name, tier = claims.get(written.consumer), claims.get(written.tier)
        if not isinstance(name, str) or not name or not (tier is None or isinstance(tier, str)):
            raise InvalidToken("no_consumer")
        scopes, groups = scopes_in(claims.get(written.scopes)), groups_in(claims.get(written.groups))
        return {"id": name, "tier": tier, "scopes": scopes, "groups": groups}

    def _away(self, where: str, reason: str, cookie: str) -> LocalReply:
        fields = (("location", where), ("set-cookie", cookie), ("cache-control", "no-store"))
        return LocalReply(302, reason, fields)

    def _cookie(self, value: str, seconds: int) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{self.cookie}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"

    @property
    def _secure(self) -> bool:
        return self.settings.url.startswith("https:")

    def _is_own_path(self, request: Request) -> bool:
        return request.path in (self.settings.callback, self.settings.logout)


class LoginKind:
    name: ClassVar[str] = "login"
    Settings: ClassVar[type[LoginSettings]] = LoginSettings

    @staticmethod
    def build(name: str, settings: LoginSettings, ports: Ports) -> Authenticator:
        keys = ports.key_sets.at(KeySource(settings.issuer, settings.jwks or ""))
        provider = Provider(settings, ports.fetch, keys, ports.clock)
        sealer = Sealer(settings.session_secret.get_secret_value(), name)
        return Login(name, settings, provider, sealer, ports.counters, ports.clock)


def _own_page(request: Request) -> str:
    """The page to come back to: a path on this very host. What begins with two slashes names another one."""
    page = f"{request.path}?{request.query}" if request.query else request.path
    elsewhere = not page.startswith("/") or page.startswith(("//", "/\\")) or "\\" in request.path
    return "/" if elsewhere or len(page) > LONGEST_RETURN else page


def _code(query: str, state: str, issuer: str) -> str | None:
    """The code, where the answer is to the question that was asked, and by whom it was asked (RFC 9207)."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, max_num_fields=16)
    except ValueError:
        return None
    given = dict(pairs)
    if len(given) != len(pairs) or given.get("iss", issuer) != issuer:
        return None
    if not hmac.compare_digest(given.get("state", "").encode(), state.encode()):
        return None
    code = given.get("code", "")
    return code if 0 < len(code) <= LONGEST_CODE else None
