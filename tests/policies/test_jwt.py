"""Tokens that are believed, and what is believed of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.policies.jwt import JwtKind, JwtSettings
from extproc.testing import FakeClock, fake_ports
from tests.policies.tokens import CLAIMS, ISSUER, NOW, answer_to, key_set, outcome, signed, token


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_token_of_every_algorithm_is_believed(algorithm: str) -> None:
    good = signed({"alg": algorithm, "kid": algorithm, "typ": "JWT"}, CLAIMS, algorithm)
    assert await outcome(good) == Consumer("acme", "free", ("orders:read", "orders:write"), CLAIMS)


async def test_a_token_without_a_key_id_is_believed_where_one_key_has_its_algorithm() -> None:
    assert isinstance(await outcome(signed({"alg": "ES256"}, CLAIMS)), Consumer)


async def test_a_token_without_a_key_id_is_not_believed_where_two_keys_could_have_signed_it() -> None:
    keys = {"keys": [{**key, "kid": f"{number}"} for number, key in enumerate(2 * key_set()["keys"])]}
    settings = JwtSettings(issuer=ISSUER, audiences=["shop"], jwks=Path(__file__))
    method = JwtKind.build("company", settings, fake_ports(jwks=keys))
    request = Request("GET", "/", headers=Headers.of({"authorization": f"Bearer {signed({'alg': 'ES256'}, CLAIMS)}"}))
    answer = await method.authenticate(request)
    assert not isinstance(answer, Consumer)
    assert answer.reason == "unknown_key"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    assert isinstance(await answer_to(f"{scheme} {token()}"), Consumer)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
async def test_a_token_may_say_that_it_is_one(kind: str) -> None:
    assert isinstance(await outcome(token({"typ": kind})), Consumer)


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t"])
async def test_a_key_that_a_token_brings_along_is_not_looked_at(name: str) -> None:
    assert isinstance(await outcome(token({name: "https://evil.example/jwks.json"})), Consumer)


SCOPES: dict[str, tuple[object, tuple[str, ...]]] = {
    "none": (..., ()),
    "null": (None, ()),
    "an empty text": ("", ()),
    "a text": ("a b", ("a", "b")),
    "spaces": ("  a   b ", ("a", "b")),
    "repetition": ("a b a", ("a", "b")),
    "a list": (["a", "b"], ("a", "b")),
}


@pytest.mark.parametrize("case", SCOPES)
async def test_scopes_are_a_text_or_a_list(case: str) -> None:
    stated, scopes = SCOPES[case]
    consumer = await outcome(token(scope=stated))
    assert isinstance(consumer, Consumer)
    assert consumer.scopes == scopes


async def test_other_claims_may_hold_the_consumer_its_tier_and_its_scopes() -> None:
    spelled = token(client_id="c-1", plan="gold", permissions=["x"])
    consumer = await outcome(spelled, consumer="client_id", tier="plan", scopes="permissions")
    assert isinstance(consumer, Consumer)
    assert (consumer.id, consumer.tier, consumer.scopes) == ("c-1", "gold", ("x",))


@pytest.mark.parametrize("tier", [..., None])
async def test_a_token_may_have_no_tier(tier: object) -> None:
    consumer = await outcome(token(tier=tier))
    assert isinstance(consumer, Consumer)
    assert consumer.tier is None


async def test_a_token_is_good_until_the_leeway_after_its_end_and_from_the_leeway_before_its_start() -> None:
    clock = FakeClock()
    spelled = token(nbf=NOW + 30, iat=NOW + 30, exp=NOW + 600)
    assert isinstance(await outcome(spelled, clock=clock), Consumer)
    clock.advance(-1)
    assert await outcome(spelled, clock=clock) == "not_yet_valid"
    clock.advance(1 + 629)
    assert isinstance(await outcome(spelled, clock=clock), Consumer)
    clock.advance(1)
    assert await outcome(spelled, clock=clock) == "expired"


async def test_the_leeway_may_be_nothing() -> None:
    assert await outcome(token(exp=NOW), leeway=0) == "expired"
    assert isinstance(await outcome(token(exp=NOW + 1), leeway=0), Consumer)


@pytest.mark.parametrize(
    "wrong", [{"leeway": 61}, {"leeway": -1}, {"issuer": ""}, {"audiences": []}, {"jwks": "/none"}, {"algorithms": []}]
)
def test_settings_that_would_weaken_the_check_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JwtSettings.model_validate({"issuer": ISSUER, "audiences": ["shop"], "jwks": __file__, **wrong})


def test_a_method_tells_how_to_ask_and_what_to_remove() -> None:
    settings = JwtSettings(issuer=ISSUER, audiences=["shop"], jwks=Path(__file__))
    method = JwtKind.build("company", settings, fake_ports())
    assert (method.name, method.challenge, tuple(method.credential_headers)) == (
        "company",
        "Bearer",
        ("authorization",),
    )
    assert not method.presents(Request("GET", "/"))
