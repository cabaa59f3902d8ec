"""People who sign in with their browser, through the real Envoy, at a provider that holds everybody to the book."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.browser import FETCH, PAGE, Browser
from tests.e2e.clients import Client, Field
from tests.e2e.credentials import FREE
from tests.e2e.harness import RunningGateway, SeparateGateway, eventually
from tests.e2e.login_gateway import (
    COOKIE,
    PATIENT,
    SHOP,
    STAFF,
    address,
    prepared,
    returning,
    signs_in,
    told,
)
from tests.e2e.sign_in import (
    AUTHORIZE,
    CLIENT,
    CLIENT_SECRET,
    TOKEN,
    SignIn,
    query_of,
)
from tests.e2e.upstreams import Upstream

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.e2e


def test_who_comes_for_the_first_time_is_sent_to_the_provider_with_state_nonce_and_proof(
    browser: Browser, here: str, provider: SignIn, upstream: Upstream
) -> None:
    first, second = browser.goes(f"{here}/app"), browser.goes(f"{here}/app")
    assert (first.status, first.body, first.header("cache-control")) == (302, b"", "no-store")
    place, _, _ = browser.place(first).partition("?")
    assert place == provider.url + AUTHORIZE
    asked, again = query_of(browser.place(first)), query_of(browser.place(second))
    assert asked.items() >= {
        ("response_type", "code"), ("client_id", CLIENT), ("redirect_uri", f"{here}/oauth2/callback"),
        ("scope", "openid"), ("code_challenge_method", "S256"),
    }  # fmt: skip
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name]) >= 43, "as much chance as 256 bits"
        assert asked[name] != again[name]
    assert upstream.received == []


def test_who_signs_in_comes_back_to_the_page_and_is_known_to_the_upstream(
    browser: Browser, here: str, provider: SignIn, upstream: Upstream
) -> None:
    provider.how.claims = {"tier": "free", "scope": "orders:read orders:write", "groups": ["crew"]}
    page = f"{here}/app/orders?tab=1&q=a%2Fb+c&to=https://evil.example"
    back = browser.follows(browser.follows(browser.goes(page)))
    assert back.status == 302
    assert browser.place(back) == page
    assert browser.cookies == [COOKIE]
    browser.jar[("127.0.0.1", "theme")] = browser.cookie(COOKIE).of("theme=dark; Path=/")
    assert browser.goes(page, PAGE, ("x-consumer-id", "root")).status == 200
    assert browser.goes(f"{here}/app/more").status == 200
    for received in upstream.received:
        assert received.all("cookie") == ["theme=dark"]
        assert received.all("x-consumer-id") == ["ada"]
        assert received.all("x-consumer-tier") == ["free"]
        assert received.all("x-consumer-scopes") == ["orders:read orders:write"]
    assert [one.target for one in upstream.received] == [page.removeprefix(here), "/app/more"]
    assert len(provider.asked(TOKEN)) == 1


def test_the_cookies_are_for_no_script_and_no_other_site(browser: Browser, here: str) -> None:
    begun = browser.goes(f"{here}/app")
    (under_way,) = browser.cookies
    assert under_way.startswith(f"{COOKIE}~")
    flags = {"path": "/", "httponly": "", "samesite": "Lax"}
    assert browser.cookie(under_way).attributes == {**flags, "max-age": "600"}
    browser.follows(browser.follows(begun))
    assert browser.cookie(COOKIE).attributes == {**flags, "max-age": str(8 * 3600)}


def test_behind_https_the_cookies_are_for_that_very_host_and_no_plain_connection(
    browser: Browser, provider: SignIn, upstream: Upstream
) -> None:
    provider.how.claims = {"email": "ada@example.com"}
    assert signs_in(browser, f"{SHOP}/staff").status == 200
    assert browser.cookies == [STAFF]
    assert browser.cookie(STAFF).attributes.keys() == {"path", "max-age", "httponly", "samesite", "secure"}
    assert upstream.only().all("x-consumer-id") == ["ada@example.com"]
    assert query_of(provider.asked(AUTHORIZE)[0].target)["scope"] == "openid profile"
    assert browser.goes("http://shop.example.com/staff").status == 302


def test_a_session_reaches_no_upstream_of_a_route_that_asks_for_something_else(
    browser: Browser, here: str, gateway: RunningGateway, upstream: Upstream
) -> None:
    signs_in(browser, f"{here}/app")
    browser.goes(f"{here}/brief")
    upstream.clear()
    cookies = "; ".join(f"{name}={browser.cookie(name).value}" for name in browser.cookies)
    assert gateway.client.get("/keys", FREE, ("cookie", f"a=1; {cookies}; b=2")).status == 200
    assert upstream.only().all("cookie") == ["a=1; b=2"]


TARGETS: dict[str, int] = {
    "/app//evil.example": 302,
    "/app/..//evil.example": 404,
    "/app/@evil.example": 302,
    "/app?to=//evil.example": 302,
    "/app/%0d%0aset-cookie:%20a=b": 302,
    "/app/%2F%2Fevil.example": 307,  # to the unescaped path, before anybody is asked
    "/app/\\evil.example": 302,
    "//evil.example/app": 404,
    "https://evil.example/app": 403,  # nobody here speaks TLS
}


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_led_to_another_host_by_signing_in(browser: Browser, here: str, target: str) -> None:
    begun = Client(int(here.rpartition(":")[2])).get(target, PAGE, host=here.removeprefix("http://"))
    assert begun.status == TARGETS[target]
    if begun.status != 302:
        assert begun.all("set-cookie") == []
        return
    browser.got(begun, f"{here}/")  # by hand, since no browser would send each of these targets as it is
    after = browser.follows(browser.follows(begun))
    assert after.status == 302
    assert browser.place(after).startswith(f"{here}/")
    assert browser.cookies == [COOKIE]


@pytest.mark.parametrize(
    ("method", "fields"),
    [("GET", (FETCH,)), ("GET", (("accept", "application/json"),)), ("POST", (PAGE,)), ("HEAD", (PAGE,)),
     ("OPTIONS", (PAGE,)), ("GET", (("x-requested-with", "XMLHttpRequest"),))],
)  # fmt: skip
def test_whatever_is_no_browser_that_asks_for_a_page_is_401_and_not_sent_away(
    gateway: RunningGateway, provider: SignIn, upstream: Upstream, method: str, fields: tuple[Field, ...]
) -> None:
    reply = gateway.client.ask(method, "/app", *fields)
    assert reply.status == 401
    assert (reply.all("location"), reply.all("set-cookie")) == ([], [])
    assert method == "HEAD" or reply.reason == "no_credentials"
    assert upstream.received == []


def test_two_tabs_that_sign_in_at_once_both_arrive(browser: Browser, here: str, upstream: Upstream) -> None:
    pages = [f"{here}/app/{number}" for number in range(4)]
    # All ask before any has an answer, as when a browser opens yesterday's tabs again.
    begun = [browser.goes(page) for page in pages]
    backs = [browser.follows(one) for one in begun]
    finished = [browser.follows(back) for back in reversed(backs)]
    assert [browser.place(one) for one in reversed(finished)] == pages
    assert browser.cookies == [COOKIE]
    assert [browser.follows(one).status for one in finished] == [200] * 4
    assert {one.header("x-consumer-id") for one in upstream.received} == {"ada"}


def test_logins_that_nobody_finishes_leave_a_browser_few_cookies(browser: Browser, here: str) -> None:
    for _ in range(20):
        assert browser.goes(f"{here}/app").status == 302
    assert len(browser.cookies) == 6
    assert signs_in(browser, f"{here}/app").status == 200


def test_a_login_under_way_is_no_credential(browser: Browser, here: str, upstream: Upstream) -> None:
    browser.goes(f"{here}/app")
    assert browser.goes(f"{here}/mixed", FETCH, FREE).status == 200
    assert browser.goes(f"{here}/either").status == 200
    assert [one.all("cookie") for one in upstream.received] == [[], []]
    assert [one.all("x-consumer-id") for one in upstream.received] == [["free-caller"], []]


def test_a_session_beside_a_key_is_one_credential_too_many(browser: Browser, here: str, upstream: Upstream) -> None:
    signs_in(browser, f"{here}/mixed")
    upstream.clear()
    assert told(browser.goes(f"{here}/mixed", FETCH, FREE)) == (401, "several_credentials")
    assert upstream.received == []


def test_who_leaves_has_no_session_any_more(browser: Browser, here: str, upstream: Upstream) -> None:
    signs_in(browser, f"{here}/app")
    upstream.clear()
    left = browser.goes(f"{here}/oauth2/logout?to=https://evil.example")
    assert (left.status, browser.place(left)) == (302, f"{here}/")
    assert browser.cookies == []
    assert told(browser.goes(f"{here}/app", FETCH)) == (401, "no_credentials")
    assert upstream.received == []


def test_a_session_ends_and_then_the_provider_is_asked_again(
    browser: Browser, here: str, provider: SignIn, upstream: Upstream
) -> None:
    signs_in(browser, f"{here}/brief")
    ended = eventually(
        lambda: reply if (reply := browser.goes(f"{here}/brief", FETCH)).status == 401 else None, "the session ends"
    )
    assert ended.reason == "no_session"
    again = browser.goes(f"{here}/brief")
    assert browser.place(again).startswith(provider.url)
    assert browser.follows(browser.follows(again)).status == 302


def test_a_session_and_a_login_under_way_outlast_the_sidecar_and_are_kept_by_the_secret_alone(
    provider: SignIn, upstream: Upstream
) -> None:
    with prepared(SeparateGateway(PATIENT, [upstream]), provider) as gateway:
        gateway.sidecar = gateway.start_sidecar()
        gateway.start_envoy()
        gateway.wait_for_sidecar()
        here = address(gateway)
        known, coming = Browser(), Browser()
        assert signs_in(known, f"{here}/app").status == 200
        way = returning(coming, f"{here}/app")
        gateway.replace_sidecar(gateway.file)
        assert known.goes(f"{here}/app", FETCH).status == 200
        assert coming.goes(way, site=provider.url).status == 302
        gateway.environment["SESSION_SECRET"] = secrets.token_urlsafe(32)
        gateway.replace_sidecar(gateway.file)
        assert told(known.goes(f"{here}/app", FETCH)) == (401, "no_session")


def test_a_login_is_recorded_without_its_code_state_or_cookies(
    browser: Browser, here: str, gateway: RunningGateway, provider: SignIn
) -> None:
    begun = browser.goes(f"{here}/app?token=sEcReT")
    (under_way,) = [browser.cookie(name).value for name in browser.cookies]
    way = browser.place(browser.follows(begun))
    finished = browser.goes(way, site=provider.url)
    known = browser.goes(f"{here}/app?token=sEcReT")
    records = [gateway.decision(reply.id) for reply in (begun, finished, known)]
    assert [record["reason"] for record in records] == ["login_begun", "logged_in", "allowed"]
    assert records[2]["consumer"] == "ada"
    said = query_of(way)
    written = str(gateway.decisions()) + str(gateway.events()) + str(gateway.access_log()) + gateway.output()
    for secret in (said["code"], said["state"], under_way, browser.cookie(COOKIE).value, "sEcReT", CLIENT_SECRET):
        assert secret not in written


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_real_browser_signs_in_and_stays_signed_in(
    here: str, provider: SignIn, upstream: Upstream, tmp_path: Path
) -> None:
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
    ]
    for page in ("/app/one", "/app/two"):
        shown = subprocess.run([*command, here + page], capture_output=True, text=True, timeout=60, check=True).stdout
        assert "upstream" in shown
    pages = [one for one in upstream.received if one.target.startswith("/app")]
    assert [(one.target, one.header("x-consumer-id"), one.all("cookie")) for one in pages] == [
        ("/app/one", "ada", []), ("/app/two", "ada", [])
    ]  # fmt: skip
    assert len(provider.asked(AUTHORIZE)) == 1
