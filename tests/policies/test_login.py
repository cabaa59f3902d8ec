"""Signing in with a browser: what is sent where, what is believed on the way back, and what a cookie is worth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from extproc.config.logins import APART
from extproc.core.authentication import Authentication
from extproc.core.decision import Continue, LocalReply
from extproc.core.errors import ProviderUnavailable
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Inviting
from extproc.core.ports import Answer
from extproc.policies.login import LoginKind
from extproc.policies.login.settings import LoginSettings
from extproc.testing import FakeClock, FakeFetch, fake_ports
from tests.core.examples import Method
from tests.policies.tokens import ISSUER, key_set, token

AUTHORIZE, TOKEN = f"{ISSUER}/authorize", f"{ISSUER}/token"
SECRET: Final = "the-secret-that-seals-sessions-0123456789"
WRITTEN: Final[Mapping[str, object]] = {
    "issuer": ISSUER, "client_id": "shop", "client_secret": "shown-to-the-provider",
    "url": "https://shop.example.com", "session_secret": SECRET,
}  # fmt: skip
DISCOVERED: Final = {"issuer": ISSUER, "authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN}
SESSION: Final = "__Host-extproc-session"
CONTEXT: Final = Context("account")
PAGE: Final = ("accept", "text/html,application/xhtml+xml;q=0.9")


@dataclass(slots=True)
class Browser:
    """Follows redirects and keeps cookies in their order, as far as a test lets it."""

    settings: dict[str, object] = field(default_factory=dict)
    fetch: FakeFetch = field(default_factory=FakeFetch)
    clock: FakeClock = field(default_factory=FakeClock)
    cookies: dict[str, str] = field(default_factory=dict)
    gate: Authentication = field(init=False)

    def __post_init__(self) -> None:
        self.fetch.answers[f"{ISSUER}/.well-known/openid-configuration"] = told(DISCOVERED)
        written = LoginSettings.model_validate({**WRITTEN, **self.settings})
        method = LoginKind.build("people", written, fake_ports(clock=self.clock, fetch=self.fetch, jwks=key_set()))
        self.gate = Authentication((method,), cookies=frozenset(getattr(method, "credential_cookies", ())))

    async def asks(self, target: str, *fields: tuple[str, str], method: str = "GET") -> Continue | LocalReply:
        path, _, query = target.partition("?")
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        cookies = [("cookie", kept)] if kept else []
        request = Request(method, path, query=query, headers=Headers.of([PAGE, *cookies, *fields]))
        return await self.gate.on_request(request, CONTEXT)

    async def is_sent(self, target: str) -> Mapping[str, str]:
        """To the provider; what is asked for there."""
        away = self.moved(await self.asks(target), "login_begun")
        assert away.startswith(f"{AUTHORIZE}?")
        return {name: values[0] for name, values in parse_qs(urlsplit(away).query).items()}

    def moved(self, answer: object, reason: str) -> str:
        assert isinstance(answer, LocalReply), answer
        assert (answer.status, answer.reason) == (302, reason)
        for value in [value for name, value in answer.headers if name == "set-cookie"]:
            (name, _, kept), gone = value.partition(";")[0].partition("="), "; Max-Age=0;" in value
            self.cookies.pop(name, "") if gone else self.cookies.update({name: kept})
        return dict(answer.headers)["location"]

    @property
    def session(self) -> str:
        return self.cookies[SESSION]

    def confirmed(self, asked: str, /, **claims: object) -> None:
        """The provider knows the code."""
        stated = {"aud": "shop", "nonce": asked, "groups": ["staff"], **claims}
        self.fetch.answers[TOKEN] = told({"id_token": token(None, **stated), "token_type": "Bearer"})

    async def signs_in(self, target: str = "/account?tab=1", **claims: object) -> Continue | LocalReply:
        asked = await self.is_sent(target)
        self.confirmed(asked["nonce"], **claims)
        return await self.asks(f"/oauth2/callback?code=c0de&state={asked['state']}")


def told(document: object, status: int = 200) -> Answer:
    return Answer(status, body=json.dumps(document).encode())


def refused(answer: object) -> str:
    assert isinstance(answer, LocalReply), answer
    assert answer.status == 401, answer
    return answer.reason


async def test_whoever_signs_in_comes_back_to_the_page_and_is_known_there() -> None:
    browser = Browser()
    assert browser.moved(await browser.signs_in(), "logged_in") == "/account?tab=1"
    answer = await browser.asks("/account")
    assert isinstance(answer, Continue)
    assert answer.consumer == Consumer(
        "acme", "free", ("orders:read", "orders:write"), groups=("staff",), method="people"
    )


async def test_the_provider_is_asked_for_what_was_written_and_shown_who_asks() -> None:
    browser = Browser({"request_scopes": ["openid", "profile"]})
    asked = await browser.is_sent("/account")
    assert asked.items() >= {
        ("response_type", "code"), ("client_id", "shop"), ("scope", "openid profile"),
        ("code_challenge_method", "S256"), ("redirect_uri", "https://shop.example.com/oauth2/callback"),
    }  # fmt: skip
    browser.confirmed(asked["nonce"])
    browser.moved(await browser.asks(f"/oauth2/callback?code=c0de&state={asked['state']}"), "logged_in")
    exchange = browser.fetch.calls[-1]
    form = {name: values[0] for name, values in parse_qs(exchange.body.decode()).items()}
    assert form.keys() == {"grant_type", "code", "redirect_uri", "code_verifier"}
    assert (form["code"], form["grant_type"]) == ("c0de", "authorization_code")
    assert dict(exchange.headers)["authorization"] == "Basic c2hvcDpzaG93bi10by10aGUtcHJvdmlkZXI="


async def test_the_cookie_is_for_this_host_by_https_and_no_script() -> None:
    answer = await Browser().asks("/account")
    assert isinstance(answer, LocalReply)
    cookie = dict(answer.headers)["set-cookie"]
    assert cookie.startswith(f"{SESSION}~")
    assert cookie.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
    assert dict(answer.headers)["cache-control"] == "no-store"


STATES: dict[str, str] = {
    "another state": "code=c0de&state=other",
    "a state that begins alike": "code=c0de&state={alike}",
    "no state": "code=c0de",
    "an empty state": "code=c0de&state=",
    "two states": "code=c0de&state={state}&state=other",
    "two codes": "code=c0de&code=other&state={state}",
    "no code": "state={state}",
    "an empty code": "code=&state={state}",
    "an endless code": "code=" + "c" * 3000 + "&state={state}",
    "a refusal": "error=access_denied&state={state}",
    "another issuer": "code=c0de&state={state}&iss=https://evil.example",
    "nothing": "",
}


@pytest.mark.parametrize("case", STATES)
async def test_a_way_back_that_is_not_the_one_asked_for_is_refused_and_no_code_is_exchanged(case: str) -> None:
    browser = Browser()
    asked = await browser.is_sent("/account")
    browser.confirmed(asked["nonce"])
    state = asked["state"]
    answer = await browser.asks("/oauth2/callback?" + STATES[case].format(state=state, alike=state[:-1] + "?"))
    assert refused(answer) == "login_failed"
    assert [call.url for call in browser.fetch.calls if call.url == TOKEN] == []


async def test_the_issuer_may_name_itself_on_the_way_back() -> None:
    browser = Browser()
    asked = await browser.is_sent("/account")
    browser.confirmed(asked["nonce"])
    answer = await browser.asks(f"/oauth2/callback?code=c&state={asked['state']}&iss={ISSUER}")
    browser.moved(answer, "logged_in")


@pytest.mark.parametrize(("names_itself", "reason"), [(True, "login_failed"), (False, "")])
async def test_a_provider_that_always_names_itself_must(names_itself: bool, reason: str) -> None:
    browser = Browser()
    says = {**DISCOVERED, "authorization_response_iss_parameter_supported": names_itself}
    browser.fetch.answers[f"{ISSUER}/.well-known/openid-configuration"] = told(says)
    asked = await browser.is_sent("/account")
    browser.confirmed(asked["nonce"])
    answer = await browser.asks(f"/oauth2/callback?code=c&state={asked['state']}")
    assert (refused(answer) if reason else browser.moved(answer, "logged_in")) == (reason or "/account")


async def test_a_login_without_its_cookie_is_refused() -> None:
    browser = Browser()
    asked = await browser.is_sent("/account")
    browser.confirmed(asked["nonce"])
    browser.cookies.clear()
    assert refused(await browser.asks(f"/oauth2/callback?code=c0de&state={asked['state']}")) == "login_failed"


async def test_a_way_back_cannot_be_used_twice_even_with_a_copy_of_the_cookie() -> None:
    browser = Browser()
    asked = await browser.is_sent("/account")
    begun = dict(browser.cookies)
    browser.confirmed(asked["nonce"])
    back = f"/oauth2/callback?code=c0de&state={asked['state']}"
    browser.moved(await browser.asks(back), "logged_in")
    assert refused(await browser.asks(back)) == "login_failed"
    browser.cookies |= begun
    assert refused(await browser.asks(back)) == "login_failed"


async def test_two_tabs_that_sign_in_at_once_both_arrive() -> None:
    browser = Browser()
    tabs = {page: await browser.is_sent(page) for page in ("/one", "/two")}
    for page, asked in tabs.items():
        browser.confirmed(asked["nonce"])
        assert browser.moved(await browser.asks(f"/oauth2/callback?code=c&state={asked['state']}"), "logged_in") == page
    assert browser.cookies.keys() == {SESSION}


async def test_logins_that_nobody_finishes_leave_six_cookies_at_most_and_the_newest_stay() -> None:
    browser = Browser()
    for _ in range(7):
        await browser.is_sent("/account")
    first = next(iter(browser.cookies))
    asked = await browser.is_sent("/account")
    assert len(browser.cookies) == 6
    assert first not in browser.cookies
    browser.confirmed(asked["nonce"])
    browser.moved(await browser.asks(f"/oauth2/callback?code=c&state={asked['state']}"), "logged_in")


async def test_a_login_that_was_begun_is_no_credential() -> None:
    browser = Browser()
    await browser.is_sent("/account")
    gate = Authentication((*browser.gate.methods, Method("partners", "x-api-key", Consumer("acme"))))
    begun = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    answer = await gate.on_request(
        Request("GET", "/", headers=Headers.of({"cookie": begun, "x-api-key": "k"})), CONTEXT
    )
    assert isinstance(answer, Continue)


async def test_a_login_must_be_finished_in_ten_minutes() -> None:
    browser = Browser()
    asked = await browser.is_sent("/account")
    browser.confirmed(asked["nonce"])
    browser.clock.advance(600)
    assert refused(await browser.asks(f"/oauth2/callback?code=c0de&state={asked['state']}")) == "login_failed"


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"nonce": "other"}, "wrong_nonce"),
    "no nonce": ({"nonce": ...}, "wrong_nonce"),
    "another audience": ({"aud": "others"}, "wrong_audience"),
    "several audiences, not for us": ({"aud": ["shop", "others"]}, "wrong_audience"),
    "several audiences, for another": ({"aud": ["shop", "others"], "azp": "others"}, "wrong_audience"),
    "another issuer": ({"iss": "https://evil.example"}, "wrong_issuer"),
    "over": ({"exp": 1}, "expired"),
    "no end": ({"exp": ...}, "malformed_token"),
    "nobody": ({"sub": ...}, "no_consumer"),
    "an empty name": ({"sub": ""}, "no_consumer"),
    "a tier that is no text": ({"tier": 1}, "no_consumer"),
    "scopes that are no texts": ({"scope": [1]}, "malformed_token"),
}


@pytest.mark.parametrize("case", CLAIMS)
async def test_an_id_token_that_is_not_for_this_login_is_refused(case: str) -> None:
    claims, reason = CLAIMS[case]
    assert refused(await Browser().signs_in(**claims)) == reason


async def test_several_audiences_are_good_where_the_token_was_made_for_us() -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(aud=["shop", "others"], azp="shop"), "logged_in")


ANSWERS: dict[str, tuple[Answer | Exception, type[Exception] | str]] = {
    "an unknown code": (told({"error": "invalid_grant"}, 400), "login_refused"),
    "an unknown client": (told({"error": "invalid_client"}, 401), "login_refused"),
    "a failure": (told({}, 500), ProviderUnavailable),
    "a redirect": (told({}, 302), ProviderUnavailable),
    "no token": (told({"access_token": "a"}), ProviderUnavailable),
    "no JSON": (Answer(200, body=b"<html>"), ProviderUnavailable),
    "a list": (told([]), ProviderUnavailable),
    "nobody": (ProviderUnavailable("nobody is there"), ProviderUnavailable),
    "no token at all": (told({"id_token": "x"}), "malformed_token"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_provider_that_refuses_is_401_and_one_that_cannot_be_asked_is_an_outage(case: str) -> None:
    answer, expected = ANSWERS[case]
    browser = Browser()
    asked = await browser.is_sent("/account")
    browser.fetch.answers[TOKEN] = answer
    back = f"/oauth2/callback?code=c0de&state={asked['state']}"
    if isinstance(expected, str):
        assert refused(await browser.asks(back)) == expected
    else:
        with pytest.raises(expected):
            await browser.asks(back)


CONFIGURATIONS: dict[str, Answer] = {
    "of another issuer": told({**DISCOVERED, "issuer": "https://evil.example"}),
    "by plain HTTP": told({**DISCOVERED, "token_endpoint": "http://id.example.com/token"}),
    "without endpoints": told({"issuer": ISSUER}),
    "missing": told(DISCOVERED, 404),
    "no JSON": Answer(200, body=b"<html>"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
async def test_a_configuration_that_cannot_be_believed_is_an_outage(case: str) -> None:
    browser = Browser()
    browser.fetch.answers[f"{ISSUER}/.well-known/openid-configuration"] = CONFIGURATIONS[case]
    with pytest.raises(ProviderUnavailable):
        await browser.asks("/account")


async def test_written_endpoints_are_not_looked_up_and_found_ones_once() -> None:
    browser = Browser({"authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN})
    await browser.is_sent("/account")
    assert browser.fetch.calls == []
    looking = Browser()
    await looking.is_sent("/account")
    await looking.is_sent("/account")
    assert len(looking.fetch.calls) == 1


async def test_browsers_that_come_at_once_cause_one_lookup() -> None:
    fetch = FakeFetch()
    provider = Browser(fetch=fetch).gate.methods[0]
    page = Request("GET", "/", headers=Headers.of([PAGE]))
    assert isinstance(provider, Inviting)
    answers = await asyncio.gather(*(provider.invite(page) for _ in range(20)))
    assert all(answer is not None and answer.status == 302 for answer in answers)
    assert len(fetch.calls) == 1


PAGES: dict[str, str] = {
    "/account?tab=1": "/account?tab=1",
    "//evil.example": "/",
    "/\\evil.example": "/",
    "\\/evil.example": "/",
    "https://evil.example/": "/",
    "/account?to=https://evil.example": "/account?to=https://evil.example",
    "/\t/evil.example": "/",
    "/account?tab=\xe4": "/",
    "/" + "a" * 2000: "/",
}


@pytest.mark.parametrize("target", PAGES)
async def test_nobody_is_sent_to_another_host_after_signing_in(target: str) -> None:
    browser = Browser()
    assert browser.moved(await browser.signs_in(target), "logged_in") == PAGES[target]


@pytest.mark.parametrize(
    ("method", "accept"), [("POST", "text/html"), ("GET", "application/json"), ("GET", ""), ("HEAD", "text/html")]
)
async def test_whatever_is_no_browser_that_asks_for_a_page_is_401(method: str, accept: str) -> None:
    request = Request(method, "/account", headers=Headers.of({"accept": accept} if accept else {}))
    assert refused(await Browser().gate.on_request(request, CONTEXT)) == "no_credentials"


async def test_a_session_ends_and_then_the_provider_is_asked_again() -> None:
    browser = Browser({"lifetime": "1h"})
    browser.moved(await browser.signs_in(), "logged_in")
    browser.clock.advance(3599)
    assert isinstance(await browser.asks("/account"), Continue)
    browser.clock.advance(1)
    assert await browser.is_sent("/account")


async def test_whoever_is_no_browser_is_told_that_the_session_is_over() -> None:
    browser = Browser({"lifetime": "1h"})
    browser.moved(await browser.signs_in(), "logged_in")
    browser.clock.advance(3600)
    assert refused(await browser.asks("/account", method="POST")) == "no_session"


async def test_logging_out_takes_the_cookie_away() -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(), "logged_in")
    assert browser.moved(await browser.asks("/oauth2/logout"), "logged_out") == "/"
    assert browser.cookies == {}
    assert await browser.is_sent("/account")


async def test_a_cookie_that_we_did_not_seal_for_a_session_is_none() -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(), "logged_in")
    good = browser.session
    other = Browser({"session_secret": SECRET + "?"}, cookies=dict(browser.cookies))
    assert await other.is_sent("/account")
    browser.cookies.clear()
    await browser.is_sent("/account")
    (under_way,) = browser.cookies.values()
    changed = f"{good[:20]}{'A' if good[20] != 'A' else 'B'}{good[21:]}"
    for value in (changed, "", f"{good}; {SESSION}={good}", under_way, "\xe4", good[:-4], "A" * 5_000):
        browser.cookies = {SESSION: value}
        assert await browser.is_sent("/account"), value


@pytest.mark.parametrize("other", [{"issuer": "https://other.example"}, {"client_id": "x"}, {"consumer": "email"}])
async def test_a_session_that_another_provider_vouched_for_is_none(other: dict[str, object]) -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(), "logged_in")
    elsewhere = Browser({**other, "authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN})
    elsewhere.cookies = dict(browser.cookies)
    assert await elsewhere.is_sent("/account")


async def test_the_session_never_reaches_the_upstream_and_the_other_cookies_do() -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(), "logged_in")
    answer = await browser.asks("/account")
    assert isinstance(answer, Continue)
    assert answer.request.remove == ("cookie",)
    browser.cookies = {"a": "1", **browser.cookies, f"{SESSION}~abandoned": "x", "b": "2=3"}
    answer = await browser.asks("/account")
    assert isinstance(answer, Continue)
    assert answer.request.set == (("cookie", "a=1; b=2=3"),)


async def test_a_session_beside_another_credential_is_one_too_many() -> None:
    browser = Browser()
    browser.moved(await browser.signs_in(), "logged_in")
    keys = Method("partners", "x-api-key", Consumer("acme"))
    gate = Authentication((*browser.gate.methods, keys))
    both = Request("GET", "/", headers=Headers.of({"cookie": f"{SESSION}={browser.session}", "x-api-key": "k"}))
    assert refused(await gate.on_request(both, CONTEXT)) == "several_credentials"


async def test_a_session_that_no_cookie_can_hold_is_no_decision() -> None:
    with pytest.raises(Exception, match="more than a cookie can"):
        await Browser().signs_in(groups=[f"group-{number:04}" for number in range(400)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_secret": "short"},
        {"client_secret": ""},
        {"url": "http://shop.example.com"},
        {"url": "https://shop.example.com/app"},
        {"issuer": "http://id.example.com"},
        {"callback": "/oauth2/logout"},
        {"callback": "//evil.example/"},
        {"request_scopes": ["profile"]},
        {"token_endpoint": TOKEN},
        {"cookie": "a b"},
        {"lifetime": "0s"},
        {"unknown": 1},
    ],
)
def test_settings_that_could_not_work_or_would_weaken_it_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LoginSettings.model_validate({**WRITTEN, **wrong})


def test_the_file_is_checked_for_the_defaults_that_a_login_has() -> None:
    defaults = {name: LoginSettings.model_fields[name].default for name in APART}
    assert {name: default for name, (default, _) in APART.items()} == defaults


def test_secrets_are_not_shown() -> None:
    shown = repr(Browser().gate)
    assert SECRET not in shown
    assert "shown-to-the-provider" not in shown
