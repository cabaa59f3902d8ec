"""A gateway at which people sign in, in several ways, and the steps that a browser takes there."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlencode

from extproc.policies.login.sealing import Sealer
from tests.e2e.browser import Browser
from tests.e2e.clients import Field, Reply
from tests.e2e.harness import FENCE, HEAD, Gateway, RunningGateway
from tests.e2e.sign_in import CLIENT, CLIENT_SECRET, SignIn, query_of
from tests.e2e.upstreams import Upstream, refusing_port

SHOP: Final = "https://shop.example.com"
SESSION_SECRET: Final = secrets.token_urlsafe(32)
KNOWN: Final = """issuer: "${ISSUER}", client_id: "${CLIENT}", client_secret: "${CLIENT_SECRET}",
    session_secret: "${SESSION_SECRET}\""""
HERE: Final = KNOWN + """, url: "http://${GATEWAY_ADDRESS}\""""
METHODS: Final = f"""
  people: {{login: {{{HERE}}}}}
  staff: {{login: {{{KNOWN}, url: "{SHOP}", cookie: staff, callback: /staff/back, logout: /staff/leave,
    request_scopes: [openid, profile], consumer: email}}}}
  brief: {{login: {{{HERE}, cookie: brief, callback: /brief/back, lifetime: 1s}}}}
  absent: {{login: {{{HERE}, cookie: absent, callback: /absent/back,
    authorization_endpoint: "${{ISSUER}}/authorize", token_endpoint: "${{NOBODY}}"}}}}
  guests: {{anonymous: {{tier: guest}}}}
"""
ROUTES: Final = (
    """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {guest: {rate: 1000/s}, free: {rate: 1000/s}}
defaults: {limits: []}
routes:
  - {name: app, match: {path_prefix: /app}, upstream: main, authenticate: people}
  - {name: ways, match: {path_prefix: /oauth2}, upstream: main, authenticate: people}
  - {name: mixed, match: {path_prefix: /mixed}, upstream: main, authenticate: [people, partners]}
  - {name: either, match: {path_prefix: /either}, upstream: main, authenticate: [people, guests]}
  - {name: staff, match: {path_prefix: /staff}, upstream: main, authenticate: staff}
  - {name: brief, match: {path_prefix: /brief}, upstream: main, authenticate: brief}
  - {name: absent, match: {path_prefix: /absent}, upstream: main, authenticate: absent}
  - {name: keys, match: {path_prefix: /keys}, upstream: main, authenticate: partners}
  - """
    + FENCE
)
PATIENT: Final = HEAD.replace("stores:", "timeout: 15s, stores:") + METHODS + ROUTES
COOKIE, STAFF = "extproc-session", "__Host-staff"
Made = TypeVar("Made", bound=Gateway)


def prepared(gateway: Made, provider: SignIn, nobody: str = "") -> Made:
    gateway.environment |= {
        "ISSUER": provider.url, "CLIENT": CLIENT, "CLIENT_SECRET": CLIENT_SECRET, "SESSION_SECRET": SESSION_SECRET,
        "NOBODY": nobody or provider.url,
    }  # fmt: skip
    here = address(gateway)
    provider.registered |= {f"{here}{path}/back" for path in ("/brief", "/absent")}
    provider.registered |= {f"{here}/oauth2/callback", f"{SHOP}/staff/back"}
    return gateway


@contextmanager
def login_gateway(provider: SignIn, upstream: Upstream) -> Iterator[RunningGateway]:
    with refusing_port() as port:
        made = prepared(RunningGateway(PATIENT, [upstream]), provider, f"http://127.0.0.1:{port}/token")
        with made as running:
            yield running


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.ports['GATEWAY_ADDRESS']}"


def returning(browser: Browser, page: str) -> str:
    """The way back, before it is gone."""
    return browser.place(browser.follows(browser.goes(page)))


def signs_in(browser: Browser, page: str) -> Reply:
    """Through the provider, as far as the page that was asked for in the first place."""
    reply = browser.goes(page)
    for _ in range(3):
        reply = browser.follows(reply)
    return reply


def told(reply: Reply) -> tuple[int, str]:
    return (reply.status, reply.reason)


def changed(url: str, **parameters: str | None) -> str:
    place, _, _ = url.partition("?")
    kept = {name: value for name, value in (query_of(url) | parameters).items() if value is not None}
    return f"{place}?{urlencode(kept)}"


def sealed(issuer: str, purpose: str, content: dict[str, object], seconds: int) -> str:
    """What the gateway itself would seal for `people`."""
    now = time.clock_gettime(time.CLOCK_REALTIME)
    return Sealer(SESSION_SECRET, ("people", issuer, CLIENT, "sub")).sealed(purpose, content, now + seconds)


def session_cookie(browser: Browser, name: str = COOKIE) -> Field:
    return ("cookie", f"{name}={browser.cookie(name).value}")
