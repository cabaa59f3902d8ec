"""Tokens that were verified a moment ago are not verified again, and not believed for longer than if they were."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.ports import TYPES
from extproc.policies._verified import LARGEST, VerifiedTokens
from extproc.policies.jwt import Jwt, JwtSettings
from extproc.testing import FakeClock, FakeKeySets
from tests.policies.tokens import ISSUER, NOW, key_set, token

SETTINGS: Final = JwtSettings(issuer=ISSUER, audiences=["shop"], jwks=Path(__file__))
ACME: Final = Consumer("acme")


class Counting:
    """The real verification, counted."""

    def __init__(self) -> None:
        self.sets = FakeKeySets(key_set())
        self.asked = 0

    @property
    def generation(self) -> int:
        return self.sets.generation

    async def payload_of(self, token: str, types: Collection[str] = TYPES) -> bytes:
        self.asked += 1
        return await self.sets.at(SETTINGS.source()).payload_of(token, types)


class Method:
    def __init__(self) -> None:
        self.keys = Counting()
        self.clock = FakeClock()
        self.jwt = Jwt("company", SETTINGS, self.keys, self.clock, frozenset(TYPES))

    async def answer(self, spelled: str) -> str:
        request = Request("GET", "/", headers=Headers.of({"authorization": f"Bearer {spelled}"}))
        found = await self.jwt.authenticate(request)
        return found.id if isinstance(found, Consumer) else found.reason


async def test_a_token_is_verified_once() -> None:
    method = Method()
    one, other = token(), token(sub="other")
    assert [await method.answer(spelled) for spelled in (one, other, one, other, one)] == [
        "acme", "other", "acme", "other", "acme"
    ]  # fmt: skip
    assert method.keys.asked == 2


async def test_a_token_that_is_refused_is_refused_each_time_anew() -> None:
    method = Method()
    for _ in range(3):
        assert await method.answer(token(aud="other")) == "wrong_audience"
    assert (method.keys.asked, len(method.jwt.verified)) == (3, 0)


@pytest.mark.parametrize("position", [0, 20, -1])
async def test_another_token_is_another_token_however_like_it_is(position: int) -> None:
    method = Method()
    good = token()
    assert await method.answer(good) == "acme"
    letters = list(good)
    letters[position] = "A" if letters[position] != "A" else "Q"
    assert await method.answer("".join(letters)) != "acme"


async def test_a_token_is_remembered_until_the_leeway_after_its_end() -> None:
    method = Method()
    spelled = token(exp=NOW + 60)
    assert await method.answer(spelled) == "acme"
    method.clock.advance(60 + SETTINGS.leeway - 0.001)
    assert (await method.answer(spelled), method.keys.asked) == ("acme", 1)
    method.clock.advance(0.001)
    assert (await method.answer(spelled), method.keys.asked) == ("expired", 2)
    assert len(method.jwt.verified) == 0


async def test_a_token_is_verified_again_when_the_keys_are_other_ones() -> None:
    method = Method()
    spelled = token()
    assert await method.answer(spelled) == "acme"
    method.keys.sets.replace(key_set())
    assert (await method.answer(spelled), method.keys.asked) == ("acme", 2)
    method.keys.sets.replace({"keys": [key for key in key_set()["keys"] if key["kid"] != "ES256"]})
    assert await method.answer(spelled) == "unknown_key"
    method.keys.sets.replace(None)
    request = Request("GET", "/", headers=Headers.of({"authorization": f"Bearer {spelled}"}))
    with pytest.raises(Exception, match="nobody is there"):
        await method.jwt.authenticate(request)


async def test_a_large_token_is_verified_each_time() -> None:
    method = Method()
    spelled = token(more="x" * LARGEST)
    for _ in range(2):
        assert await method.answer(spelled) == "acme"
    assert (method.keys.asked, len(method.jwt.verified)) == (2, 0)


def test_the_token_that_was_shown_longest_ago_is_forgotten_first() -> None:
    verified = VerifiedTokens(most=2)
    for name in ("a", "b"):
        verified.remember(name, 0, Consumer(name), 10.0)
    assert verified.consumer_of("a", 0, 1.0) == Consumer("a")
    verified.remember("c", 0, Consumer("c"), 10.0)
    found = [verified.consumer_of(name, 0, 1.0) for name in ("a", "b", "c")]
    assert found == [Consumer("a"), None, Consumer("c")]


@pytest.mark.parametrize(("generation", "now"), [(1, 1.0), (-1, 1.0), (0, 10.0), (0, 11.0)])
def test_nothing_is_remembered_beyond_its_keys_or_its_time(generation: int, now: float) -> None:
    verified = VerifiedTokens()
    verified.remember("a", 0, ACME, 10.0)
    assert verified.consumer_of("a", 0, 9.999) == ACME
    assert verified.consumer_of("a", generation, now) is None
    assert len(verified) == 0


def test_what_was_verified_by_keys_that_are_gone_meanwhile_is_not_remembered() -> None:
    verified = VerifiedTokens()
    assert verified.consumer_of("a", 5, 1.0) is None
    assert verified.consumer_of("b", 6, 1.0) is None  # somebody else, after the keys changed
    verified.remember("a", 5, ACME, 10.0)
    assert verified.consumer_of("a", 6, 1.0) is None


def test_no_token_is_kept_as_it_is() -> None:
    verified = VerifiedTokens()
    verified.remember("a-token", 0, ACME, 10.0)
    kept: Any = verified._kept
    assert "a-token" not in str(list(kept.items()))
