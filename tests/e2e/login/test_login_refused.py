"""Logins that must not succeed, through the real Envoy: forged, repeated, too late, confirmed by nobody."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from extproc.policies.login.sealing import Sealer
from tests.e2e.browser import FETCH, PAGE, Browser
from tests.e2e.harness import HEAD, RunningGateway, SeparateGateway, eventually
from tests.e2e.login_gateway import (
    COOKIE,
    METHODS,
    PATIENT,
    ROUTES,
    SESSION_SECRET,
    STAFF,
    address,
    changed,
    prepared,
    returning,
    sealed,
    session_cookie,
    signs_in,
    told,
)
from tests.e2e.sign_in import (
    CLIENT,
    DISCOVERY,
    TOKEN,
    SignIn,
    query_of,
    s256,
    sign_in,
)
from tests.e2e.upstreams import JSON, Answer, Upstream

pytestmark = pytest.mark.e2e


WRONG: dict[str, dict[str, str | None]] = {
    "another state": {"state": "x" * 43},
    "a state that begins alike": {"state": "{state}-"},
    "no state": {"state": None},
    "an empty state": {"state": ""},
    "no code": {"code": None},
    "a refusal": {"code": None, "error": "access_denied"},
    "another issuer": {"iss": "https://evil.example"},
    "an issuer with a slash more": {"iss": "{issuer}/"},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_way_back_that_is_not_the_one_asked_for_is_refused_and_no_code_is_exchanged(
    browser: Browser, here: str, provider: SignIn, case: str
) -> None:
    way = returning(browser, f"{here}/app")
    wrong = {
        name: value and value.format(issuer=provider.url, state=query_of(way)["state"])
        for name, value in WRONG[case].items()
    }
    assert told(browser.goes(changed(way, **wrong), site=provider.url)) == (401, "login_failed")
    assert provider.asked(TOKEN) == []
    assert browser.goes(way, site=provider.url).status == 302, "what was not finished may still be"


def test_a_query_that_says_something_twice_is_refused(browser: Browser, here: str, provider: SignIn) -> None:
    way = returning(browser, f"{here}/app")
    for more in ("state=x", "code=x", f"iss={provider.url}"):
        assert told(browser.goes(f"{way}&{more}", site=provider.url)) == (401, "login_failed")
    assert provider.asked(TOKEN) == []


def test_who_is_denied_by_the_provider_is_refused(browser: Browser, here: str, provider: SignIn) -> None:
    provider.how.denies = True
    assert told(browser.goes(returning(browser, f"{here}/app"), site=provider.url)) == (401, "login_failed")
    assert COOKIE not in browser.cookies


def test_a_provider_that_says_that_it_names_itself_must(upstream: Upstream) -> None:
    with sign_in() as strict:
        strict.how.metadata = {"authorization_response_iss_parameter_supported": True}
        with prepared(RunningGateway(PATIENT, [upstream]), strict) as gateway:
            browser = Browser()
            way = returning(browser, f"{address(gateway)}/app")
            assert told(browser.goes(changed(way, iss=None), site=strict.url)) == (401, "login_failed")
            assert browser.goes(way, site=strict.url).status == 302


def test_a_way_back_is_good_once_even_with_a_copy_of_the_cookies(browser: Browser, here: str, provider: SignIn) -> None:
    way = returning(browser, f"{here}/app")
    copy = Browser(jar=dict(browser.jar))
    assert browser.goes(way, site=provider.url).status == 302
    for again in (browser, copy):
        assert told(again.goes(way, site=provider.url)) == (401, "login_failed")
    assert len(provider.asked(TOKEN)) == 1
    assert COOKIE not in copy.cookies


def test_of_many_that_bring_one_way_back_at_once_one_is_signed_in(
    browser: Browser, here: str, provider: SignIn
) -> None:
    way = returning(browser, f"{here}/app")
    copies = [Browser(jar=dict(browser.jar)) for _ in range(16)]
    with ThreadPoolExecutor(len(copies)) as pool:
        statuses = list(pool.map(lambda copy: copy.goes(way, site=provider.url).status, copies))
    assert sorted(statuses) == [302] + [401] * 15
    assert len(provider.asked(TOKEN)) == 1


def test_nobody_is_signed_in_as_somebody_else_by_a_link(browser: Browser, here: str, provider: SignIn) -> None:
    """Login CSRF: the attacker's own code and state, in the browser of another."""
    attackers = returning(Browser(), f"{here}/app")
    assert told(browser.goes(attackers, site="https://evil.example")) == (401, "login_failed")
    browser.goes(f"{here}/app")
    assert told(browser.goes(attackers, site="https://evil.example")) == (401, "login_failed")
    assert COOKIE not in browser.cookies
    assert provider.asked(TOKEN) == []


TOKENS: dict[str, tuple[dict[str, object], str]] = {
    "another nonce": ({"nonce": "other"}, "wrong_nonce"),
    "another issuer": ({"iss": "https://evil.example"}, "wrong_issuer"),
    "another client": ({"aud": "others"}, "wrong_audience"),
    "over": ({"exp": 1_000_000}, "expired"),
    "nobody": ({"sub": ""}, "no_consumer"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_an_id_token_that_is_not_for_this_login_is_refused(
    browser: Browser, here: str, provider: SignIn, case: str
) -> None:
    provider.how.claims, reason = TOKENS[case]
    assert told(browser.goes(returning(browser, f"{here}/app"), site=provider.url)) == (401, reason)
    assert COOKIE not in browser.cookies


def test_a_code_that_somebody_else_began_fails_at_the_provider(browser: Browser, here: str, provider: SignIn) -> None:
    """A stolen code is no use without its verifier (RFC 7636), nor the thief's own login with it."""
    stolen = query_of(returning(Browser(), f"{here}/app"))["code"]
    way = returning(browser, f"{here}/app")
    assert told(browser.goes(changed(way, code=stolen), site=provider.url)) == (401, "login_refused")


@pytest.mark.parametrize(("seconds", "status"), [(60, 302), (-1, 401)])
def test_a_login_that_took_too_long_is_refused(
    browser: Browser, here: str, provider: SignIn, seconds: int, status: int
) -> None:
    way = returning(browser, f"{here}/app")
    (name,) = browser.cookies
    grant = provider.codes[query_of(way)["code"]]
    verifier = secrets.token_urlsafe(32)
    provider.codes[query_of(way)["code"]] = type(grant)(grant.redirect_uri, s256(verifier), grant.nonce)
    begun: dict[str, object] = {
        "state": query_of(way)["state"],
        "nonce": grant.nonce,
        "verifier": verifier,
        "to": "/app",
    }
    cookie = f"{name}={sealed(provider.url, 'login', begun, seconds)}"
    assert Browser().goes(way, PAGE, ("cookie", cookie)).status == status


def test_a_session_that_was_changed_or_sealed_for_something_else_is_none(
    browser: Browser, here: str, provider: SignIn, upstream: Upstream
) -> None:
    signs_in(browser, f"{here}/app")
    good = browser.cookie(COOKIE).value
    who: dict[str, object] = {"id": "root", "tier": None, "scopes": [], "groups": []}
    assert Browser().goes(f"{here}/app", FETCH, ("cookie", f"{COOKIE}={good}")).status == 200
    forged = Sealer("another secret of thirty-two bytes", ("people", provider.url, CLIENT, "sub"))
    other = Sealer(SESSION_SECRET, ("staff", provider.url, CLIENT, "email"))
    values = {
        "changed": f"{good[:30]}{'A' if good[30] != 'A' else 'B'}{good[31:]}",
        "cut off": good[:-4],
        "empty": "",
        "twice": f"{good}; {COOKIE}={good}",
        "not ours": "AAAA",
        "of another key": forged.sealed("session", who, 4e9),
        "of another method": other.sealed("session", who, 4e9),
        "of a login under way": sealed(provider.url, "login", who, 60),
        "of another issuer": sealed("https://evil.example", "session", who, 60),
        "over": sealed(provider.url, "session", who, -1),
    }
    upstream.clear()
    for case, value in values.items():
        reply = Browser().goes(f"{here}/app", FETCH, ("cookie", f"{COOKIE}={value}"))
        assert told(reply) == (401, "no_session"), case
    assert upstream.received == []
    genuine = sealed(provider.url, "session", who, 60)
    assert Browser().goes(f"{here}/app", FETCH, ("cookie", f"{COOKIE}={genuine}")).status == 200


def test_the_session_of_one_method_is_none_for_another(
    browser: Browser, here: str, gateway: RunningGateway, upstream: Upstream
) -> None:
    signs_in(browser, f"{here}/app")
    upstream.clear()
    value = browser.cookie(COOKIE).value
    reply = gateway.client.get("/staff", FETCH, ("cookie", f"{STAFF}={value}"))
    assert told(reply) == (401, "no_session")
    assert told(gateway.client.get("/keys", FETCH, session_cookie(browser))) == (401, "no_credentials")
    assert upstream.received == []


def test_a_provider_that_is_gone_when_a_code_is_exchanged_is_503(
    browser: Browser, here: str, upstream: Upstream, provider: SignIn
) -> None:
    way = returning(browser, f"{here}/absent")
    assert told(browser.goes(way, site=provider.url)) == (503, "provider_unavailable")
    assert "absent" not in browser.cookies
    assert upstream.received == []


TROUBLES: dict[str, Answer] = {
    "fails": Answer(500, body=b"{}"),
    "sends elsewhere": Answer(307, (("location", "https://evil.example/"),)),
    "says nothing of who": Answer(body=b'{"access_token": "a", "token_type": "Bearer"}'),
    "babbles": Answer(body=b"<html>"),
    "never ends": Answer(body=b"x" * 300_000),
    "is slow": Answer(delay=60),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_a_provider_that_gives_no_answer_is_503_and_signs_nobody_in(
    browser: Browser, here: str, provider: SignIn, upstream: Upstream, case: str
) -> None:
    way = returning(browser, f"{here}/app")
    provider.how.answers = {TOKEN: TROUBLES[case]}
    assert told(browser.goes(way, site=provider.url)) == (503, "provider_unavailable")
    assert COOKIE not in browser.cookies
    assert upstream.received == []


def test_a_gateway_whose_provider_cannot_be_looked_up_sends_nobody_away_until_it_can(
    provider: SignIn, upstream: Upstream
) -> None:
    provider.how.answers = {DISCOVERY: Answer(500)}
    with prepared(SeparateGateway(PATIENT, [upstream]), provider) as gateway:
        gateway.sidecar = gateway.start_sidecar()
        gateway.start_envoy()
        gateway.wait_for_sidecar()
        assert told(gateway.client.get("/app", PAGE)) == (503, "provider_unavailable")
        provider.how.answers = {DISCOVERY: Answer(200, (JSON,), b'{"issuer": "https://evil.example"}')}
        assert told(gateway.client.get("/app", PAGE)) == (503, "provider_unavailable")
        provider.how.answers = {}
        assert gateway.client.get("/app", PAGE).status == 302


def test_a_provider_slower_than_the_sidecar_may_be_is_503_and_keeps_nobody_else_waiting(
    provider: SignIn, upstream: Upstream
) -> None:
    with prepared(RunningGateway(HEAD + METHODS + ROUTES, [upstream]), provider) as gateway:
        known, coming = Browser(), Browser()
        assert signs_in(known, f"{address(gateway)}/app").status == 200
        way = returning(coming, f"{address(gateway)}/app")
        provider.how.answers = {TOKEN: Answer(delay=60)}
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(coming.goes, way, site=provider.url)
            eventually(lambda: len(provider.asked(TOKEN)) == 2, "the code is shown")
            assert known.goes(f"{address(gateway)}/app").status == 200
            assert not late.done()
            assert late.result().status == 503
        assert COOKIE not in coming.cookies
