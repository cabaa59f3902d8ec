"""Asking the issuer about a token: what is an answer, how long it holds, and that silence is none (rows 56, 57)."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from extproc.core.errors import ProviderUnavailable
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.policy import Authenticator
from extproc.core.ports import Answer, Call
from extproc.policies import introspection
from extproc.policies.introspection import IntrospectionKind, IntrospectionSettings
from extproc.testing import FakeClock, FakeFetch, fake_ports
from tests.policies.asking import asking, refused
from tests.turning import until

ENDPOINT: Final = "https://id.example.com/introspect"
NOW: Final = FakeClock().now()
ACTIVE: Final[dict[str, object]] = {"active": True, "sub": "acme", "tier": "free", "scope": "orders:read orders:write"}
SETTINGS: Final = {"endpoint": ENDPOINT, "client_id": "gate way", "client_secret": "s3cret:+%"}


def said(**members: object) -> Answer:
    """An answer about an active token, but for what is given; a member that is `...` is left out."""
    stated = {name: value for name, value in {**ACTIVE, **members}.items() if value is not ...}
    return Answer(200, body=json.dumps(stated).encode())


@dataclass(slots=True)
class Rig:
    clock: FakeClock = field(default_factory=FakeClock)
    fetch: FakeFetch = field(default_factory=FakeFetch)
    settings: dict[str, object] = field(default_factory=dict)
    method: Authenticator = field(init=False)

    def __post_init__(self) -> None:
        settings = IntrospectionSettings.model_validate({**SETTINGS, **self.settings})
        self.method = IntrospectionKind.build("legacy", settings, fake_ports(clock=self.clock, fetch=self.fetch))

    def answers(self, answer: Answer | Exception) -> None:
        self.fetch.answers[ENDPOINT] = answer

    async def ask(self, shown: str = "opaque", scheme: str = "Bearer") -> Any:
        return await self.method.authenticate(asking({"authorization": f"{scheme} {shown}"}))


async def outcome(answer: Answer | Exception, **settings: object) -> Any:
    """The consumer, or the reason of the 401."""
    rig = Rig(settings=settings)
    rig.answers(answer)
    heard = await rig.ask()
    return heard if isinstance(heard, Consumer) else refused(heard)[1]


async def test_an_active_token_names_its_consumer() -> None:
    consumer = await outcome(said(groups=["staff", "domain admins"]))
    assert (consumer.id, consumer.tier, consumer.scopes) == ("acme", "free", ("orders:read", "orders:write"))
    assert consumer.groups == ("staff", "domain admins")
    assert consumer.claims["sub"] == "acme"


async def test_the_question_is_a_form_from_a_client_that_names_itself() -> None:
    rig = Rig()
    rig.answers(said())
    await rig.ask("a+b/c~d==")
    (call,) = rig.fetch.calls
    headers = dict(call.headers)
    assert (call.method, call.url, call.timeout) == ("POST", ENDPOINT, 0.3)
    assert parse_qs(call.body.decode()) == {"token": ["a+b/c~d=="], "token_type_hint": ["access_token"]}
    # RFC 6749 §2.3.1: both are encoded as a form is, before they are joined.
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"gate+way:s3cret%3A%2B%25"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept"] == "application/json"
    assert "opaque" not in repr(call)
    assert call.max_bytes <= 64 * 1024


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"active": False}, "inactive_token"),
        ({"exp": NOW}, "expired"),
        ({"exp": NOW - 3600}, "expired"),
        ({"nbf": NOW + 31}, "not_yet_valid"),
        ({"sub": ...}, "no_consumer"),
        ({"sub": ""}, "no_consumer"),
        ({"sub": 7}, "no_consumer"),
        ({"sub": ..., "client_id": "other", "username": "other"}, "no_consumer"),
        ({"cnf": {"jkt": "x"}}, "unsupported_token"),
    ],
)
async def test_a_token_that_is_not_good_is_refused(members: dict[str, object], reason: str) -> None:
    assert await outcome(said(**members)) == reason


@pytest.mark.parametrize("members", [{"exp": NOW + 1}, {"nbf": NOW + 30}, {"exp": NOW + 0.5}, {"iss": "x", "aud": "y"}])
async def test_a_token_that_is_good_for_a_moment_is_good(members: dict[str, object]) -> None:
    assert isinstance(await outcome(said(**members)), Consumer)


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"iss": "https://id.example.com", "aud": "shop"}, "acme"),
        ({"iss": "https://id.example.com", "aud": ["other", "admin"]}, "acme"),
        ({"iss": "https://id.example.org", "aud": "shop"}, "wrong_issuer"),
        ({"aud": "shop"}, "wrong_issuer"),
        ({"iss": "https://id.example.com"}, "wrong_audience"),
        ({"iss": "https://id.example.com", "aud": []}, "wrong_audience"),
        ({"iss": "https://id.example.com", "aud": "shops"}, "wrong_audience"),
    ],
)
async def test_issuer_and_audience_are_held_to_where_they_are_named(members: dict[str, object], answer: str) -> None:
    heard = await outcome(said(**members), issuer="https://id.example.com", audiences=["shop", "admin"])
    assert (heard.id if isinstance(heard, Consumer) else heard) == answer


NO_ANSWERS: Final[dict[str, Answer | Exception]] = {
    "nobody is there": ProviderUnavailable("id.example.com: no answer in time"),
    "500": Answer(500, body=b'{"active": true, "sub": "acme"}'),
    "401 for our own secret": Answer(401, body=b'{"error": "invalid_client"}'),
    "a redirect": Answer(302),
    "204": Answer(204),
    "201": Answer(201, body=b'{"active": true, "sub": "acme"}'),
    "active missing": said(active=...),
    "active a text": said(active="true"),
    "active a number": said(active=1),
    "active null": said(active=None),
    "a name twice": Answer(200, body=b'{"active": false, "active": true, "sub": "acme"}'),
    "no JSON": Answer(200, body=b"<html>log in</html>"),
    "nothing": Answer(200),
    "a list": Answer(200, body=b'[{"active": true}]'),
    "UTF-16": Answer(200, body=json.dumps(ACTIVE).encode("utf-16")),
    "nested too deep": Answer(200, body=b'{"active": true, "x": ' + b"[" * 100 + b"]" * 100 + b"}"),
    "exp a text": said(exp="soon"),
    "exp true": said(exp=True),
    "exp beyond all years": said(exp=10**30),
    "exp negative": said(exp=-1),
    "nbf a list": said(nbf=[]),
    "a tier that is a number": said(tier=3),
    "scopes of numbers": said(scope=[1]),
    "groups that are a mapping": said(groups={}),
}


@pytest.mark.parametrize("fault", NO_ANSWERS)
async def test_what_is_no_answer_is_an_outage_and_never_an_inactive_token(fault: str) -> None:
    rig = Rig()
    rig.answers(NO_ANSWERS[fault])
    with pytest.raises(ProviderUnavailable) as raised:
        await rig.ask("opaque-and-secret")
    assert "opaque" not in str(raised.value)
    assert "id.example.com" in str(raised.value) or fault == "nobody is there"
    # And nothing of it is kept: the next answer counts.
    rig.answers(said())
    assert isinstance(await rig.ask("opaque-and-secret"), Consumer)


async def test_audiences_of_another_type_are_no_answer_either() -> None:
    with pytest.raises(ProviderUnavailable):
        await outcome(said(aud={"shop": 1}), audiences=["shop"])


async def test_a_revoked_token_is_refused_when_the_cache_ends_and_not_later() -> None:
    rig = Rig()
    rig.answers(said())
    assert isinstance(await rig.ask(), Consumer)
    rig.answers(said(active=False))
    rig.clock.advance(29.9)
    assert isinstance(await rig.ask(), Consumer)
    assert len(rig.fetch.calls) == 1
    rig.clock.advance(0.1)
    assert refused(await rig.ask()) == (401, "inactive_token")


async def test_a_token_is_kept_no_longer_than_until_it_expires() -> None:
    rig = Rig()
    rig.answers(said(exp=NOW + 7))
    assert isinstance(await rig.ask(), Consumer)
    rig.clock.advance(6.9)
    assert isinstance(await rig.ask(), Consumer)
    rig.clock.advance(0.1)
    assert refused(await rig.ask()) == (401, "expired")


async def test_a_clock_that_is_set_forward_ends_what_is_kept() -> None:
    rig = Rig()
    rig.answers(said(exp=NOW + 20))
    assert isinstance(await rig.ask(), Consumer)
    rig.clock.seconds += 20  # and no time passed
    assert refused(await rig.ask()) == (401, "expired")


async def test_a_clock_that_is_set_back_makes_nothing_last_longer() -> None:
    rig = Rig()
    rig.answers(said(exp=NOW + 7))
    assert isinstance(await rig.ask(), Consumer)
    rig.clock.advance(7)
    rig.clock.seconds -= 3600
    assert isinstance(await rig.ask(), Consumer)
    assert len(rig.fetch.calls) == 2, "the issuer is asked again"


async def test_a_refusal_is_kept_for_its_own_short_time() -> None:
    rig = Rig(settings={"negative_cache": "2s"})
    rig.answers(said(active=False))
    assert refused(await rig.ask()) == (401, "inactive_token")
    rig.answers(said())
    rig.clock.advance(1.9)
    assert refused(await rig.ask()) == (401, "inactive_token")
    assert len(rig.fetch.calls) == 1
    rig.clock.advance(0.1)
    assert isinstance(await rig.ask(), Consumer)


async def test_what_is_kept_holds_through_an_outage_and_not_beyond_its_time() -> None:
    rig = Rig()
    rig.answers(said())
    assert isinstance(await rig.ask(), Consumer)
    rig.answers(ProviderUnavailable("down"))
    rig.clock.advance(29)
    assert isinstance(await rig.ask(), Consumer)
    with pytest.raises(ProviderUnavailable):
        await rig.ask("another")
    rig.clock.advance(1)
    with pytest.raises(ProviderUnavailable):
        await rig.ask()


async def test_a_flood_of_bad_tokens_takes_bounded_room_and_drives_no_good_one_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(introspection, "ACTIVE_KEPT", 5)
    monkeypatch.setattr(introspection, "INACTIVE_KEPT", 5)
    rig = Rig()
    rig.answers(said())
    await rig.ask("good")
    rig.answers(said(active=False))
    for number in range(50):
        await rig.ask(f"bad-{number}")
    assert isinstance(rig.method, introspection.Introspection)
    assert (len(rig.method.active), len(rig.method.inactive)) == (1, 5)
    assert isinstance(await rig.ask("good"), Consumer)


async def test_no_token_is_kept_as_it_came() -> None:
    rig = Rig()
    rig.answers(said())
    await rig.ask("opaque-and-secret")
    assert isinstance(rig.method, introspection.Introspection)
    assert b"opaque-and-secret" not in b"".join(rig.method.active._kept)
    assert "s3cret" not in repr(rig.method)


@dataclass(slots=True)
class Held:
    """A provider that answers when it is let go."""

    free: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def send(self, call: Call) -> Answer:
        self.calls += 1
        await self.free.wait()
        return said()


async def test_a_hundred_requests_with_one_token_ask_once() -> None:
    held = Held()
    settings = IntrospectionSettings.model_validate(SETTINGS)
    method = IntrospectionKind.build("legacy", settings, fake_ports(fetch=held))
    request = asking({"authorization": "Bearer opaque"})
    waiting = [asyncio.ensure_future(method.authenticate(request)) for _ in range(100)]
    await until(lambda: held.calls)
    held.free.set()
    answers = await asyncio.gather(*waiting)
    assert held.calls == 1
    assert {answer.id for answer in answers if isinstance(answer, Consumer)} == {"acme"}
    assert len(answers) == 100


async def test_more_tokens_at_once_than_can_be_asked_about_are_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "IN_FLIGHT", 2)
    held = Held()
    settings = IntrospectionSettings.model_validate(SETTINGS)
    method = IntrospectionKind.build("legacy", settings, fake_ports(fetch=held))
    requests = [asking({"authorization": f"Bearer opaque-{number}"}) for number in range(3)]
    waiting = [asyncio.ensure_future(method.authenticate(request)) for request in requests[:2]]
    await until(lambda: held.calls == 2)
    with pytest.raises(ProviderUnavailable, match="2 introspections are under way already"):
        await method.authenticate(requests[2])
    held.free.set()
    assert all(isinstance(answer, Consumer) for answer in await asyncio.gather(*waiting))


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (("Basic YTpi",), "not_a_bearer_token"),
        (("",), "not_a_bearer_token"),
        (("Bearer",), "malformed_token"),
        (("Bearer ",), "malformed_token"),
        (("Bearer a b",), "malformed_token"),
        (("Bearer a,Bearer b",), "malformed_token"),
        (("Bearer a\r\nb",), "malformed_token"),
        (("Bearer \xe9",), "malformed_token"),
        (("Bearer =a",), "malformed_token"),
        (("Bearer " + "a" * (16 * 1024 + 1),), "malformed_token"),
        (("Bearer a", "Bearer b"), "not_a_bearer_token"),
    ],
)
async def test_what_can_be_no_token_is_nobodys_question(authorization: tuple[str, ...], reason: str) -> None:
    rig = Rig()
    request = Request("GET", "/", headers=Headers.of([("authorization", value) for value in authorization]))
    assert refused(await rig.method.authenticate(request)) == (401, reason)
    assert rig.fetch.calls == []


async def test_the_scheme_is_read_in_any_case() -> None:
    rig = Rig()
    rig.answers(said())
    assert isinstance(await rig.ask(scheme="bEARER"), Consumer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "http://id.example.com/introspect"}, {"client_id": ""}, {"client_secret": ""}, {"audiences": []},
        {"cache": "2h"}, {"negative_cache": "2m"}, {"timeout": "11s"}, {"cache": "0s"}, {"algorithms": []},
    ],
)  # fmt: skip
def test_settings_that_would_weaken_the_check_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as invalid:
        IntrospectionSettings.model_validate({**SETTINGS, **wrong})
    assert "s3cret" not in str(invalid.value)


def test_a_method_tells_how_to_ask_and_what_to_remove() -> None:
    method = Rig().method
    assert (method.name, method.challenge, tuple(method.credential_headers)) == ("legacy", "Bearer", ("authorization",))
    assert method.presents(asking({"authorization": ""}))
    assert not method.presents(asking())
