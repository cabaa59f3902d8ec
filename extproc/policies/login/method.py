"""One login: who has a session is known by it; who has none is sent away and comes back with a code.

A login is finished once, also with a copy of its cookie: its state is counted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

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
from .cookies import LoginCookies
from .provider import Provider
from .sealing import Sealer
from .settings import LoginSettings
from .way_back import WayBack, own_page, way_back

UNDER_WAY, SESSION = "login", "session"
PATIENCE: Final = 600  # seconds in which somebody must have signed in
ONCE: Final = Limit("login", "login", Per.ROUTE, count=1, period=2 * PATIENCE, burst=1)


@dataclass(frozen=True, slots=True)
class Login:
    name: str
    settings: LoginSettings
    provider: Provider
    sealer: Sealer
    cookies: LoginCookies
    counters: CounterStore
    clock: Clock

    credential_headers: ClassVar[tuple[str, ...]] = ()
    challenge: ClassVar[str] = ""

    @property
    def credential_cookies(self) -> tuple[str, ...]:
        return self.cookies.all

    def presents(self, request: Request) -> bool:
        """A way back from the provider is something to judge, too; a login that was begun is not."""
        return cookie_of(request, self.cookies.session) is not None or self._is_own_path(request)

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        if request.path == self.settings.logout:
            return _away("/", "logged_out", *self.cookies.gone(self.cookies.session))
        if request.path == self.settings.callback:
            return await self._returned(request)
        session = self._opened(SESSION, self.cookies.session, request)
        if session is None:
            return await self.invite(request) or refusal(401, "no_session", "sign in again")
        return Consumer(session["id"], session["tier"], tuple(session["scopes"]), groups=tuple(session["groups"]))

    async def invite(self, request: Request) -> LocalReply | None:
        """Sends a browser that asks for a page to the provider; nobody else can sign in."""
        if request.method != "GET" or "text/html" not in (request.headers.get("accept") or ""):
            return None
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "to": own_page(request)}
        sealed = self.sealer.sealed(UNDER_WAY, begun, self.clock.now() + PATIENCE)
        where = await self.provider.authorization_url(state, nonce, challenge)
        kept = self.cookies.kept(self.cookies.under_way(state), sealed, PATIENCE)
        return _away(where, "login_begun", kept, *self.cookies.gone(*self.cookies.surplus(request)))

    async def _returned(self, request: Request) -> LocalReply:
        back = way_back(request.query)
        begun = self._begun(back, request) if back else None
        if back is None or begun is None or not await self._is_new(back, request):
            return refusal(401, "login_failed", "this login cannot be finished; begin again")
        try:
            claims = await self.provider.claims_for(back.code, begun["verifier"], begun["nonce"])
            content = self._session(claims)
        except InvalidToken as error:
            return refusal(401, error.reason, "the identity provider did not confirm this login")
        lifetime = self.settings.lifetime.total_seconds()
        sealed = self.sealer.sealed(SESSION, content, self.clock.now() + lifetime)
        kept = self.cookies.kept(self.cookies.session, sealed, int(lifetime))
        return _away(begun["to"], "logged_in", kept, *self.cookies.gone(self.cookies.under_way(back.state)))

    def _begun(self, back: WayBack, request: Request) -> Mapping[str, Any] | None:
        """The login that this very browser began with that state."""
        begun = self._opened(UNDER_WAY, self.cookies.under_way(back.state), request)
        same = begun is not None and hmac.compare_digest(back.state.encode(), begun["state"].encode())
        return begun if same else None

    async def _is_new(self, back: WayBack, request: Request) -> bool:
        if not await self.provider.sent(back.issuer):
            return False
        charge = Charge((Hit(Counter(ONCE, (self.name, back.state))),), key=request.stream or None)
        return all(state.allowed for state in await self.counters.hit(charge))

    def _opened(self, purpose: str, cookie: str, request: Request) -> Mapping[str, Any] | None:
        return self.sealer.opened(purpose, cookie_of(request, cookie) or "", self.clock.now())

    def _session(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        written = self.settings
        name, tier = claims.get(written.consumer), claims.get(written.tier)
        if not isinstance(name, str) or not name or not (tier is None or isinstance(tier, str)):
            raise InvalidToken("no_consumer")
        scopes, groups = scopes_in(claims.get(written.scopes)), groups_in(claims.get(written.groups))
        return {"id": name, "tier": tier, "scopes": scopes, "groups": groups}

    def _is_own_path(self, request: Request) -> bool:
        return request.path in (self.settings.callback, self.settings.logout)


class LoginKind:
    name: ClassVar[str] = "login"
    Settings: ClassVar[type[LoginSettings]] = LoginSettings

    @staticmethod
    def build(name: str, settings: LoginSettings, ports: Ports) -> Authenticator:
        keys = ports.key_sets.at(KeySource(settings.issuer, settings.jwks or ""))
        provider = Provider(settings, ports.fetch, keys, ports.clock)
        # What another provider said, or said of another client or by another claim, names nobody here.
        vouching = (name, settings.issuer, settings.client_id, settings.consumer)
        sealer = Sealer(settings.session_secret.get_secret_value(), vouching)
        cookies = LoginCookies(settings.cookie, settings.url.startswith("https:"))
        return Login(name, settings, provider, sealer, cookies, ports.counters, ports.clock)


def _away(where: str, reason: str, *cookies: tuple[str, str]) -> LocalReply:
    return LocalReply(302, reason, (("location", where), *cookies, ("cache-control", "no-store")))
