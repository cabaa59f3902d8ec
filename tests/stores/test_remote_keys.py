"""Keys of an issuer that publishes them: there before they are needed, and there while the issuer is not."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

import pytest

from extproc.core.errors import ProviderUnavailable
from extproc.core.ports import Answer, Call, KeySource
from extproc.stores import remote_keys
from extproc.testing import FakeFetch
from tests.stores.issuers import BY_URL, DISCOVERED, DOCUMENT, ISSUER, URL, Issuer, answer, outcome, token, until
from tests.stores.signing import EC, OTHER_EC, RSA, jwk, segment, signed

ONE: Final = jwk(EC, kid="one")
TWO: Final = jwk(OTHER_EC, kid="two")
SIGNED_BY_ONE: Final = token(EC, "one")
SIGNED_BY_TWO: Final = token(OTHER_EC, "two")
WEAK: Final = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak"}
OUTAGES: Final[dict[str, Answer | Exception]] = {
    "nobody there": ProviderUnavailable("id.example.com: ClientConnectorError"),
    "a bug of ours": RuntimeError("whatever"),
    "500": answer({"keys": [TWO]}, 500),
    "404": answer({"keys": [TWO]}, 404),
    "204": answer({"keys": [TWO]}, 204),
    "a redirect": answer({"keys": [TWO]}, 302, location="https://evil.example/jwks"),
    "no JSON": answer(b"<html>"),
    "nothing": answer(b""),
    "UTF-16": answer('{"keys": []}'.encode("utf-16")),
    "a name twice": answer(b'{"keys": [], "keys": []}'),
    "no set": answer([TWO]),
    "an empty set": answer({"keys": []}),
    "an id twice": answer({"keys": [TWO, {**ONE, "kid": "two"}]}),
    "secrets among public keys": answer({"keys": [TWO, jwk(b"s" * 32)]}),
    "secrets": answer({"keys": [jwk(b"s" * 32, kid="two")]}),
    "weak keys alone": answer({"keys": [WEAK]}),
    "depth": answer(b"[" * 10_000),
}


async def test_keys_are_fetched_at_once_and_a_token_of_theirs_is_believed() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    assert not issuer.sets.ready()
    async with issuer.tended():
        await until(issuer.sets.ready)
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert await outcome(keys, token(OTHER_EC, "one")) == "invalid_signature"
    assert issuer.asked == [URL]
    assert issuer.told == [("keys_changed", {"issuer": URL, "keys": 1})]


async def test_a_request_that_comes_before_the_keys_waits_for_them() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert await outcome(keys, SIGNED_BY_TWO) == "unknown_key"
    assert issuer.asked == [URL, URL]  # for its own sake, and for a key that may be new


async def test_without_an_issuer_nothing_is_decided_until_it_comes_back() -> None:
    issuer = Issuer()
    issuer.fetch.answers.clear()
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "provider_unavailable"
        assert await outcome(keys, SIGNED_BY_ONE) == "provider_unavailable"
        assert (issuer.sets.ready(), len(issuer.asked)) == (False, 1)
        await issuer.passes(0.5)
        assert len(issuer.asked) == 1
        issuer.publish(ONE)
        await issuer.passes(0.5)
        assert issuer.sets.ready()
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
    assert issuer.told[0] == ("keys_unavailable", {"issuer": URL, "error": "nobody is there"})


async def test_keys_are_fetched_again_before_their_time_is_over_and_withdrawn_ones_are_gone() -> None:
    issuer = Issuer(ONE, TWO)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_TWO) == "good"
        first = keys.generation
        await issuer.passes(239)
        assert (len(issuer.asked), keys.generation) == (1, first)
        await issuer.passes(1)
        assert (len(issuer.asked), keys.generation) == (2, first)  # the same keys
        issuer.publish(ONE)
        await issuer.passes(240)
        assert keys.generation != first
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert await outcome(keys, SIGNED_BY_TWO) == "unknown_key"


async def test_an_issuer_may_say_how_long_its_keys_are_good() -> None:
    issuer = Issuer()
    issuer.publish(ONE, cache_control="max-age=1000")
    issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(issuer.sets.ready)
        await issuer.passes(799)
        assert len(issuer.asked) == 1
        await issuer.passes(1)
        assert len(issuer.asked) == 2


async def test_a_key_that_is_new_is_believed_after_one_fetch_for_all_who_wait() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        issuer.publish(ONE, TWO)
        answers = await asyncio.gather(*(outcome(keys, SIGNED_BY_TWO) for _ in range(200)))
        assert set(answers) == {"good"}
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
    assert len(issuer.asked) == 2


async def test_ten_thousand_unknown_keys_cause_one_fetch_in_half_a_minute_and_harm_nobody() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    _, payload, signature = SIGNED_BY_ONE.split(".")
    async with issuer.tended():
        await until(issuer.sets.ready)
        before = len(issuer.asked)
        for number in range(10_000):
            assert await outcome(keys, token_of_unknown(number, payload, signature)) == "unknown_key"
            issuer.clock.advance(0.001)
            if number % 1_000 == 0:
                assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert len(issuer.asked) == before + 1
        issuer.clock.advance(20)
        assert await outcome(keys, token_of_unknown(-1, payload, signature)) == "unknown_key"
        assert len(issuer.asked) == before + 2


def token_of_unknown(number: int, payload: str, signature: str) -> str:
    return f"{segment({'alg': 'ES256', 'kid': f'random-{number}'})}.{payload}.{signature}"


async def test_a_token_of_another_issuer_is_no_reason_to_ask_ours() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(issuer.sets.ready)
        assert await outcome(keys, token(OTHER_EC, "two", issuer="https://other.example")) == "unknown_key"
        assert await outcome(keys, token(EC, "one", issuer="https://other.example")) == "good"
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("outage", OUTAGES)
async def test_what_an_issuer_should_not_answer_changes_nothing_until_the_old_keys_are_too_old(outage: str) -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(KeySource(ISSUER, URL, outlast=1_000))
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        generation = keys.generation
        issuer.fetch.answers[URL] = OUTAGES[outage]
        await issuer.passes(240)
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert await outcome(keys, SIGNED_BY_TWO) == "provider_unavailable"
        assert (keys.generation, issuer.sets.ready()) == (generation, True)
        await issuer.passes(760)
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        await issuer.passes(0.001)
        assert await outcome(keys, SIGNED_BY_ONE) == "provider_unavailable"
        assert keys.generation != generation
        issuer.publish(TWO)
        await issuer.passes(60)
        assert await outcome(keys, SIGNED_BY_TWO) == "good"
        assert await outcome(keys, SIGNED_BY_ONE) == "unknown_key"


async def test_an_issuer_that_does_not_come_back_is_asked_less_and_less_often() -> None:
    issuer = Issuer()
    issuer.fetch.answers.clear()
    issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(lambda: bool(issuer.told))
        for _ in range(600):
            await issuer.passes(1)
    assert len(issuer.asked) == 1 + 6 + (600 - 63) // 60  # at 0, 1, 3, 7, 15, 31, 63 s, and then each minute


class Slow(FakeFetch):
    """Answers when it is told to, and counts who is at it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()
        self.under_way = self.most = 0

    async def send(self, call: Call) -> Answer:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go.wait()
            return await super().send(call)
        finally:
            self.under_way -= 1


def slow_issuer(*keys: dict[str, object]) -> tuple[Issuer, Slow]:
    issuer, slow = Issuer(), Slow()
    slow.answers = issuer.fetch.answers
    issuer.fetch = issuer.sets._fetch = slow
    issuer.publish(*keys)
    return issuer, slow


async def test_an_issuer_that_hangs_delays_nobody_whose_key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keys, "WAIT", 0.001)
    issuer, slow = slow_issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) in {"good", "provider_unavailable"}
        await until(issuer.sets.ready)
        slow.go.clear()
        assert await outcome(keys, SIGNED_BY_TWO) == "provider_unavailable"
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        assert slow.most == 1


async def test_no_more_wait_for_an_issuer_than_the_sidecar_can_bear() -> None:
    issuer, slow = slow_issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    slow.go.clear()
    async with issuer.tended():
        waiting = [asyncio.ensure_future(outcome(keys, SIGNED_BY_ONE)) for _ in range(remote_keys.MAX_WAITING)]
        await until(lambda: slow.under_way == 1)
        assert await outcome(keys, SIGNED_BY_ONE) == "provider_unavailable"
        slow.go.set()
        assert set(await asyncio.gather(*waiting)) == {"good"}


async def test_a_thousand_requests_while_keys_run_out_cause_one_fetch() -> None:
    issuer, slow = slow_issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        slow.go.clear()
        issuer.clock.advance(300)
        next(iter(issuer.sets._remote.values()))._woken.set()
        await until(lambda: slow.under_way == 1)
        answers = await asyncio.gather(*(outcome(keys, SIGNED_BY_ONE) for _ in range(1_000)))
        assert set(answers) == {"good"}
        assert (slow.under_way, slow.most) == (1, 1)
        slow.go.set()
        await until(lambda: slow.under_way == 0)
    assert len(issuer.asked) == 2


async def test_a_key_that_came_after_a_fetch_had_begun_is_asked_for_once_more() -> None:
    issuer, slow = slow_issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        slow.go.clear()
        issuer.clock.advance(300)
        next(iter(issuer.sets._remote.values()))._woken.set()
        await until(lambda: slow.under_way == 1)
        waiting = asyncio.ensure_future(outcome(keys, SIGNED_BY_TWO))
        await until(lambda: next(iter(issuer.sets._remote.values()))._waiting == 1)
        slow.go.set()
        await until(lambda: len(issuer.asked) == 2)  # what it publishes was read already
        issuer.publish(ONE, TWO)
        assert await waiting == "good"


async def test_a_set_is_read_where_it_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[int] = []
    read = remote_keys._read

    def reading(body: bytes) -> object:
        readers.append(threading.get_ident())
        return read(body)

    monkeypatch.setattr(remote_keys, "_read", reading)
    issuer = Issuer(ONE)
    issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(issuer.sets.ready)
    assert readers
    assert threading.get_ident() not in readers


async def test_weak_keys_and_keys_of_unknown_kinds_are_passed_over() -> None:
    issuer = Issuer(WEAK, {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq"}, ONE, jwk(RSA, kid="enc", use="enc"))
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        for kid in ("weak", "pq", "enc"):
            assert await outcome(keys, token(RSA, kid, "RS256")) == "unknown_key"


async def test_sources_that_lead_to_one_place_share_its_keys_and_not_their_algorithms() -> None:
    issuer = Issuer(ONE, jwk(RSA, kid="r"))
    one, other = issuer.sets.at(BY_URL), issuer.sets.at(KeySource("https://other", URL, algorithms=("RS256",)))
    async with issuer.tended():
        await until(issuer.sets.ready)
        assert await outcome(one, SIGNED_BY_ONE) == "good"
        assert await outcome(other, SIGNED_BY_ONE) == "unknown_key"
        assert await outcome(other, token(RSA, "r", "RS256")) == "good"
    assert issuer.asked == [URL]


@pytest.mark.parametrize("source", [BY_URL, DISCOVERED])
def test_what_is_published_verifies_no_secrets_signature(source: KeySource) -> None:
    with pytest.raises(ValueError, match="keys that others can read verify no secret's signature"):
        Issuer().sets.at(KeySource(source.issuer, source.location, algorithms=("HS256",)))


async def test_where_an_issuer_says_its_keys_are_is_remembered_until_it_fails_or_is_an_hour_old() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(DISCOVERED)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        await issuer.passes(240)
        assert issuer.asked == [DOCUMENT, URL, URL]
        issuer.fetch.answers[DOCUMENT] = answer({"issuer": ISSUER, "jwks_uri": "https://new.example.com/jwks"})
        issuer.fetch.answers["https://new.example.com/jwks"] = answer({"keys": [ONE, TWO]})
        issuer.fetch.answers[URL] = answer(b"", 404)
        await issuer.passes(240)
        await issuer.passes(1)
        assert issuer.asked[3:] == [URL, DOCUMENT, "https://new.example.com/jwks"]
        assert await outcome(keys, SIGNED_BY_TWO) == "good"
        await issuer.passes(3_601)
        assert issuer.asked[6:] == [DOCUMENT, "https://new.example.com/jwks"]


@pytest.mark.parametrize(
    "document",
    [
        answer({"issuer": "https://other.example.com", "jwks_uri": URL}),
        answer({"issuer": ISSUER, "jwks_uri": "http://id.example.com/jwks"}),
        answer({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}),
        answer({"issuer": ISSUER}),
        answer({"issuer": ISSUER, "jwks_uri": URL}, 500),
        answer(b"<html>"),
    ],
)
async def test_a_discovery_document_that_is_not_the_issuers_leads_nowhere(document: Answer) -> None:
    issuer = Issuer(ONE)
    issuer.fetch.answers[DOCUMENT] = document
    keys = issuer.sets.at(DISCOVERED)
    async with issuer.tended():
        assert await outcome(keys, SIGNED_BY_ONE) == "provider_unavailable"
        assert not issuer.sets.ready()
    assert issuer.asked == [DOCUMENT]


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
async def test_where_a_token_says_its_key_is_nobody_looks(name: str) -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(issuer.sets.ready)
        spelled = signed({"alg": "ES256", "kid": "one", name: "https://evil.example/jwks"}, OTHER_EC, {"iss": ISSUER})
        assert await outcome(keys, spelled) == "invalid_signature"
    assert issuer.asked == [URL]


async def test_where_nobody_tends_them_keys_are_fetched_when_they_are_needed_and_not_before() -> None:
    issuer = Issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    assert await outcome(keys, token(OTHER_EC, "two", issuer="https://other.example")) == "unknown_key"
    assert issuer.asked == []
    assert await asyncio.gather(*(outcome(keys, SIGNED_BY_ONE) for _ in range(10))) == ["good"] * 10
    assert issuer.asked == [URL]


async def test_a_source_that_is_named_while_the_others_are_tended_is_tended_too() -> None:
    issuer = Issuer(ONE)
    async with issuer.tended():
        keys = issuer.sets.at(BY_URL)
        assert await outcome(keys, SIGNED_BY_ONE) == "good"
        await issuer.passes(240)
    assert issuer.asked == [URL, URL]


async def test_what_is_told_of_a_failure_is_short() -> None:
    issuer = Issuer({"kty": "EC", "kid": "k" * 100_000})
    issuer.fetch.answers[URL] = ProviderUnavailable("x" * 10_000)
    issuer.sets.at(BY_URL)
    async with issuer.tended():
        await until(lambda: bool(issuer.told))
    assert len(issuer.told[0][1]["error"]) == remote_keys.LONGEST_SAID


async def test_a_fetch_by_hand_that_is_under_way_when_tending_begins_is_the_only_one() -> None:
    issuer, slow = slow_issuer(ONE)
    keys = issuer.sets.at(BY_URL)
    slow.go.clear()
    asking = asyncio.ensure_future(outcome(keys, SIGNED_BY_ONE))
    await until(lambda: slow.under_way == 1)
    async with issuer.tended():
        slow.go.set()
        assert await asking == "good"
        assert await outcome(keys, SIGNED_BY_TWO) == "unknown_key"
    assert (slow.most, issuer.asked) == (1, [URL, URL])
