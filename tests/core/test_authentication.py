"""Who is asking: one credential, of one sort, or a 401."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from extproc.core.authentication import Authentication
from extproc.core.cookies import cookie_of
from extproc.core.decision import Continue, Decision, HeaderEdits, LocalReply, refusal
from extproc.core.errors import PolicyFailed, ProviderUnavailable, StoreUnavailable
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context
from tests.core.examples import ACME, Anonymous, Method, request

TOKENS = Method("company", "authorization", ACME, "Bearer")
KEYS = Method("partners", "x-api-key", Consumer("partner"), 'ApiKey header="x-api-key"')
BOTH = 'Bearer, ApiKey header="x-api-key"'


async def ask(headers: dict[str, str], *methods: Method | Anonymous) -> Decision:
    return await Authentication(methods or (TOKENS, KEYS)).on_request(request(headers), Context("orders"))


def reason_of(decision: Decision) -> str:
    assert isinstance(decision, LocalReply)
    assert decision.status == 401
    assert json.loads(decision.body)["reason"] == decision.reason
    return decision.reason


def challenges(decision: Decision) -> list[str]:
    assert isinstance(decision, LocalReply)
    return [value for name, value in decision.headers if name == "www-authenticate"]


async def test_a_request_without_a_credential_is_told_every_way_to_bring_one() -> None:
    decision = await ask({"accept": "*/*"})
    assert reason_of(decision) == "no_credentials"
    assert challenges(decision) == [BOTH]


@pytest.mark.parametrize("methods", [(TOKENS, KEYS), (KEYS, TOKENS)])
async def test_two_credentials_are_refused_whichever_is_good(methods: tuple[Method, ...]) -> None:
    decision = await ask({"authorization": "Bearer a", "x-api-key": "b"}, *methods)
    assert reason_of(decision) == "several_credentials"
    assert sorted(challenges(decision)[0].split(", ")) == sorted(BOTH.split(", "))


@pytest.mark.parametrize(
    ("header", "consumer"), [("authorization", ("acme", "company")), ("x-api-key", ("partner", "partners"))]
)
async def test_the_method_whose_credential_came_decides_and_vouches(header: str, consumer: tuple[str, str]) -> None:
    decision = await ask({header: "credential"})
    assert isinstance(decision, Continue)
    assert decision.consumer is not None
    assert (decision.consumer.id, decision.consumer.method) == consumer


async def test_what_a_method_says_of_its_own_name_is_not_believed() -> None:
    decision = await ask({"x-api-key": "k"}, replace(KEYS, answer=Consumer("partner", method="company")))
    assert isinstance(decision, Continue)
    assert decision.consumer == Consumer("partner", method="partners")


async def test_the_credential_never_reaches_the_upstream() -> None:
    decision = await ask({"x-api-key": "k", "accept": "*/*"})
    assert isinstance(decision, Continue)
    assert decision.request.remove == ("x-api-key",)
    assert decision.request.set == ()


async def test_a_method_that_does_not_present_is_not_asked() -> None:
    decision = await ask({"x-api-key": "k"}, replace(TOKENS, answer=None), KEYS)
    assert isinstance(decision, Continue)


async def test_a_methods_own_401_gets_the_challenges_added() -> None:
    reply = refusal(401, "expired", "the token is not valid here")
    decision = await ask({"authorization": "Bearer a"}, replace(TOKENS, answer=reply), KEYS)
    assert reason_of(decision) == "expired"
    assert challenges(decision) == [BOTH]


async def test_a_methods_other_refusal_is_left_as_it_is() -> None:
    reply = refusal(503, "issuer_down", "come back")
    assert await ask({"authorization": "Bearer a"}, replace(TOKENS, answer=reply)) == reply


async def test_methods_of_one_challenge_are_told_once_and_one_without_not_at_all() -> None:
    decision = await ask({}, TOKENS, replace(TOKENS, name="other", header="x-token"), replace(KEYS, challenge=""))
    assert challenges(decision) == ["Bearer"]
    assert challenges(await ask({}, replace(KEYS, challenge=""))) == []


@pytest.mark.parametrize("answer", [None, True, "acme", Continue(consumer=ACME), Consumer])
async def test_an_answer_of_the_wrong_type_lets_nobody_in(answer: object) -> None:
    with pytest.raises(PolicyFailed, match=r"^authentication 'company' answered \w+, not a consumer$"):
        await ask({"authorization": "Bearer a"}, replace(TOKENS, answer=answer))


async def test_a_consumer_without_an_id_is_nobody() -> None:
    with pytest.raises(PolicyFailed, match="answered a consumer without an id"):
        await ask({"authorization": "Bearer a"}, replace(TOKENS, answer=Consumer("")))


FIRST = Method("first", "authorization", Consumer("by-first"), "Bearer")
SECOND = Method("second", "authorization", Consumer("by-second"), "Bearer")
WRONG = Method("wrong", "authorization", refusal(401, "unknown_key", "no"), "Bearer")
WRONG_TOO = Method("wrong-too", "authorization", refusal(401, "expired", "no"), "Bearer")


@pytest.mark.parametrize(
    ("methods", "consumer", "method"),
    [
        ((FIRST, SECOND), "by-first", "first"),
        ((WRONG, SECOND), "by-second", "second"),
        ((SECOND, WRONG), "by-second", "second"),
    ],
)
async def test_of_methods_that_read_one_credential_the_first_that_accepts_it_vouches(
    methods: tuple[Method, ...], consumer: str, method: str
) -> None:
    decision = await ask({"authorization": "Bearer a"}, *methods)
    assert isinstance(decision, Continue)
    assert decision.consumer is not None
    assert (decision.consumer.id, decision.consumer.method) == (consumer, method)


async def test_where_none_accepts_it_the_first_says_why() -> None:
    decision = await ask({"authorization": "Bearer a"}, WRONG, WRONG_TOO)
    assert reason_of(decision) == "unknown_key"
    assert challenges(decision) == ["Bearer"]


@pytest.mark.parametrize("headers", [{"authorization": "Bearer a", "x-api-key": "b"}])
async def test_a_credential_of_other_routes_is_one_too_many(headers: dict[str, str]) -> None:
    """The upstream must not get to see a credential that nobody checked."""
    decision = await Authentication((TOKENS,), ("x-api-key",)).on_request(request(headers), Context("orders"))
    assert reason_of(decision) == "several_credentials"


@pytest.mark.parametrize("consumer", [Consumer("a" * 257), Consumer("a", tier="t" * 257)])
async def test_a_name_that_is_too_long_to_be_kept_is_refused(consumer: Consumer) -> None:
    decision = await ask({"authorization": "Bearer a"}, Method("company", "authorization", consumer, "Bearer"))
    assert reason_of(decision) == "unacceptable_consumer"


GUESTS = Anonymous("guests", Consumer("anonymous", "guest", anonymous=True))


@pytest.mark.parametrize("methods", [(GUESTS,), (TOKENS, GUESTS), (GUESTS, TOKENS, KEYS)])
async def test_who_brings_no_credential_is_anonymous_where_a_route_says_so(
    methods: tuple[Method | Anonymous, ...],
) -> None:
    decision = await ask({"accept": "*/*"}, *methods)
    assert isinstance(decision, Continue)
    assert decision.consumer == Consumer("anonymous", "guest", method="guests", anonymous=True)
    assert not decision.request


@pytest.mark.parametrize("methods", [(WRONG, GUESTS), (GUESTS, WRONG)])
async def test_a_bad_credential_makes_nobody_anonymous(methods: tuple[Method, ...]) -> None:
    assert reason_of(await ask({"authorization": "Bearer a"}, *methods)) == "unknown_key"
    assert reason_of(await ask({"authorization": ""}, *methods)) == "unknown_key"


@pytest.mark.parametrize("methods", [(FIRST, GUESTS), (GUESTS, FIRST)])
async def test_a_good_credential_is_not_made_anonymous(methods: tuple[Method, ...]) -> None:
    decision = await ask({"authorization": "Bearer a"}, *methods)
    assert isinstance(decision, Continue)
    assert decision.consumer == Consumer("by-first", method="first")


@pytest.mark.parametrize("methods", [(GUESTS,), (TOKENS, GUESTS)])
async def test_a_credential_that_the_route_does_not_read_makes_nobody_anonymous(methods: tuple[Method, ...]) -> None:
    decision = await Authentication(methods, ("x-api-key",)).on_request(request({"x-api-key": "k"}), Context("orders"))
    assert reason_of(decision) == "unexpected_credential"


async def test_two_credentials_make_nobody_anonymous() -> None:
    decision = await ask({"authorization": "Bearer a", "x-api-key": "b"}, TOKENS, KEYS, GUESTS)
    assert reason_of(decision) == "several_credentials"


DOWN = Method("down", "authorization", ProviderUnavailable("nobody is there"), "Bearer")
FULL = Method("full", "authorization", StoreUnavailable("full"), "Bearer")


@pytest.mark.parametrize("methods", [(DOWN,), (WRONG, DOWN), (DOWN, WRONG), (DOWN, GUESTS), (FULL, WRONG, GUESTS)])
async def test_who_could_not_be_asked_refused_nobody(methods: tuple[Method, ...]) -> None:
    with pytest.raises((ProviderUnavailable, StoreUnavailable)):
        await ask({"authorization": "Bearer a"}, *methods)


@pytest.mark.parametrize("methods", [(DOWN, FIRST), (FIRST, DOWN)])
async def test_one_that_accepts_is_enough_while_another_is_down(methods: tuple[Method, ...]) -> None:
    decision = await ask({"authorization": "Bearer a"}, *methods)
    assert isinstance(decision, Continue)


PASSWORDS = Method("people", "authorization", refusal(401, "wrong_password", "no"), 'Basic realm="shop"')


@pytest.mark.parametrize("methods", [(WRONG, PASSWORDS), (PASSWORDS, WRONG)])
@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ("Bearer a", "unknown_key"),
        ("bearer a", "unknown_key"),
        ("Basic a", "wrong_password"),
        ("BASIC", "wrong_password"),
    ],
)
async def test_the_method_of_the_credentials_own_scheme_says_why(
    credential: str, reason: str, methods: tuple[Method, ...]
) -> None:
    decision = await ask({"authorization": credential}, *methods)
    assert reason_of(decision) == reason
    assert sorted(challenges(decision)[0].split(", ")) == ['Basic realm="shop"', "Bearer"]


async def test_of_an_unknown_scheme_the_first_method_says_why() -> None:
    assert reason_of(await ask({"authorization": "Digest a"}, PASSWORDS, WRONG)) == "wrong_password"


QUERIED = Method("links", "x-link-key", Consumer("by-link"), query="key")


async def ask_with(query: str, headers: dict[str, str] | None = None, *methods: Method) -> Decision:
    return await Authentication(methods or (TOKENS, QUERIED)).on_request(request(headers, query), Context("orders"))


async def test_a_credential_in_the_query_never_reaches_the_upstream_either() -> None:
    decision = await ask_with("a=1&key=k")
    assert isinstance(decision, Continue)
    assert decision.consumer == Consumer("by-link", method="links")
    assert (decision.remove_query, decision.request.remove) == (("key",), ())
    plain = await ask_with("a=1", {"authorization": "Bearer a"})
    assert isinstance(plain, Continue)
    assert plain.remove_query == ()


async def test_a_token_and_a_credential_in_the_query_are_several() -> None:
    assert reason_of(await ask_with("key=k", {"authorization": "Bearer a"})) == "several_credentials"


async def test_methods_that_read_the_same_header_of_this_request_read_one_credential() -> None:
    other = replace(QUERIED, name="other", header="authorization")
    decision = await ask_with("", {"authorization": "Bearer a"}, TOKENS, other)
    assert isinstance(decision, Continue)


@pytest.mark.parametrize("query", ["key=k", "%6bey=k", "key"])
async def test_a_credential_of_other_routes_in_the_query_is_one_too_many(query: str) -> None:
    who = Authentication((TOKENS,), foreign_query=("key",))
    decision = await who.on_request(request({"authorization": "Bearer a"}, query), Context("orders"))
    assert reason_of(decision) == "several_credentials"


@dataclass(frozen=True, slots=True)
class Session:
    """A method that keeps its credential in a cookie."""

    name: str
    cookie: str
    challenge: ClassVar[str] = ""
    credential_headers: ClassVar[tuple[str, ...]] = ()

    @property
    def credential_cookies(self) -> tuple[str, ...]:
        return (self.cookie,)

    def presents(self, request: Request) -> bool:
        return cookie_of(request, self.cookie) is not None

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        return Consumer("by-session")


COOKIES = frozenset({"mine", "others"})


async def test_credentials_that_the_route_forwards_stay_on_the_request_wherever_they_are() -> None:
    who = Authentication((KEYS, QUERIED, Session("people", "mine")), cookies=COOKIES, forwards=True)
    for seen in (request({"x-api-key": "k"}), request(query="key=k"), request({"cookie": "mine=1; theme=dark"})):
        decision = await who.on_request(seen, Context("orders"))
        assert isinstance(decision, Continue)
        assert (decision.request, decision.remove_query) == (HeaderEdits(), ())


async def test_the_cookies_of_other_methods_are_not_forwarded() -> None:
    who = Authentication((Session("people", "mine"),), cookies=COOKIES, forwards=True)
    decision = await who.on_request(request({"cookie": "mine=1; others=2; theme=dark"}), Context("orders"))
    assert isinstance(decision, Continue)
    assert decision.request.set == (("cookie", "mine=1; theme=dark"),)
