"""The meter: what is asked of the counters while an answer runs, and what is settled when it is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from extproc.core.calendar import Calendar, Unit
from extproc.core.decision import CONTINUE, LocalReply
from extproc.core.errors import CouldNotDecide, StoreUnavailable
from extproc.core.framing import LONGEST_RECORD
from extproc.core.headers import Headers
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.message import Chosen, Consumer, Request, Response
from extproc.core.metering import STYLES, Meter, Style, parse_places
from extproc.core.policy import Context, Phase, phases_of
from extproc.core.reservation import Reservation
from extproc.core.streams import BodyEditor
from extproc.policies.meter import MeterKind
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, fake_ports

BUDGET = Limit("tokens", "route/chat", Per.CONSUMER, 100, 3_600, 100, Kind.BUDGET, Calendar(Unit.HOUR))
MINE = Counter(BUDGET, ("acme",))
ACME = Consumer("acme", "free")
EVENTS = ("content-type", "text/event-stream; charset=utf-8")
JSON = ("content-type", "application/json")


@dataclass(slots=True)
class Watched:
    """A store that says what it was asked. `away` fails from that question on."""

    counters: MemoryCounters
    hits: list[Charge] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)
    away: bool = False

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        if self.away:
            raise StoreUnavailable("away")
        self.hits.append(charge)
        return await self.counters.hit(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.settled += settlements
        await self.counters.settle(settlements)


class Desk:
    """A meter with its store, for a request that has reserved `reserved` tokens already."""

    def __init__(self, style: Style = Style.OPENAI, reserve: tuple[str, ...] = (), limit: Limit = BUDGET) -> None:
        self.clock = FakeClock()
        self.store = Watched(MemoryCounters(self.clock))
        self.told: list[tuple[str, str, int, int, str]] = []
        self.counter = Counter(limit, ("acme",))
        words = STYLES[style]
        meter = Meter(
            style, tuple(map(parse_places, words.usage)), tuple(parse_places(one)[0] for one in words.text),
            reserve=tuple(parse_places(one)[0] for one in reserve),
        )  # fmt: skip
        ports = replace(fake_ports(clock=self.clock, counters=self.store), tokens=self._tell)
        self.policy = MeterKind.build(meter, ports)
        self.reservation: Reservation | None = None
        self.chosen: Chosen | None = None

    def _tell(
        self,
        route: str,
        consumer: Consumer | None,
        status: int,
        tokens: int,
        ended: str,
        chosen: Chosen | None = None,
    ) -> None:
        self.chosen = chosen
        self.told.append((route, consumer.id if consumer else "", status, tokens, str(ended)))

    async def admit(self, reserved: int = 1) -> Context:
        await self.store.hit(Charge((Hit(self.counter, reserved),), "s1"))
        self.store.hits.clear()
        window = BUDGET.calendar.window(int(self.clock.now())) if BUDGET.calendar else None
        assert window is not None
        self.reservation = Reservation("s1", {self.counter: reserved}, window.end)
        return Context("chat", ACME, 4096, self.reservation)

    async def editor(self, *fields: tuple[str, str], status: int = 200, size: int = 0) -> BodyEditor:
        context = await self.admit()
        response = Response(status, Headers(fields or (EVENTS,)))
        made = await self.policy.on_stream(response, Request("POST", "/chat", size=size), context)
        assert made is not None
        return made

    async def left(self) -> int:
        (state,) = await self.store.counters.hit(Charge((Hit(self.counter, 0),)))
        return state.remaining


def chunk(text: str, **more: object) -> bytes:
    document = {"choices": [{"index": 0, "delta": {"content": text}}], **more}
    return b"data: %s\n\n" % json.dumps(document).encode()


def usage(total: int) -> bytes:
    return b'data: {"choices":[],"usage":{"total_tokens":%d}}\n\n' % total


DONE = b"data: [DONE]\n\n"


async def test_no_store_is_asked_while_what_is_reserved_covers_what_is_sent() -> None:
    desk = Desk(limit=replace(BUDGET, count=1_000))
    editor = await desk.editor()
    for _ in range(500):
        assert await editor.feed(chunk("abcd")) == chunk("abcd")
    assert len(desk.store.hits) < 500 / 4
    assert [charge.hits[0].count for charge in desk.store.hits[:3]] == [1, 16, 16]
    await editor.finish()
    assert await desk.left() == 500


async def test_what_the_upstream_says_at_the_end_is_what_is_settled() -> None:
    desk = Desk()
    editor = await desk.editor(size=40)
    sent = chunk("abcd") + usage(42) + DONE
    assert await editor.feed(sent) + await editor.finish() == sent
    await editor.close()
    assert desk.told == [("chat", "acme", 200, 42, "said")]
    assert (await desk.left(), len(desk.store.settled)) == (58, 1)


async def test_a_chunk_is_sent_only_when_the_budget_has_it_and_the_rest_is_cut_off() -> None:
    desk = Desk()
    editor = await desk.editor(size=40)
    made = await editor.feed(chunk("abcd") * 200)
    assert made.count(b"abcd") == 90
    assert made.endswith(b'"finish_reason":"length"}]}\n\n' + DONE)
    assert editor.ended
    assert editor.refused == LocalReply(429, "tokens_used_up", facts={"limit": "tokens", "tokens": "100"})
    await editor.close()
    assert desk.told == [("chat", "acme", 200, 100, "cut")]
    assert await desk.left() == 0


async def test_the_less_is_left_the_less_is_reserved_ahead() -> None:
    desk = Desk()
    editor = await desk.editor()
    await desk.store.hit(Charge((Hit(desk.counter, 20),)))
    await editor.feed(chunk("abcd") * 70)
    assert {charge.hits[0].count for charge in desk.store.hits[2:]} == {1, 2}
    assert await desk.left() == 10


async def test_what_says_usage_and_has_no_text_always_passes() -> None:
    desk = Desk()
    editor = await desk.editor()
    sent = chunk("abcd" * 100) and chunk("abcd") * 100 + usage(5_000) + DONE
    assert await editor.feed(sent) + await editor.finish() == sent
    assert await desk.left() == 0


async def test_a_client_that_goes_away_pays_for_what_it_got() -> None:
    desk = Desk(limit=replace(BUDGET, count=10_000))
    editor = await desk.editor(size=40)
    await editor.feed(chunk("abcd") * 5)
    assert await desk.left() < 10_000 - 15  # some is reserved ahead
    await editor.close()
    await editor.close()
    assert desk.told == [("chat", "acme", 200, 15, "left")]
    assert await desk.left() == 10_000 - 15


async def test_an_answer_that_is_settled_is_not_settled_again_by_whoever_hears_of_its_end() -> None:
    desk = Desk()
    editor = await desk.editor()
    await editor.feed(usage(30))
    await editor.finish()
    await desk.store.settle([Settlement(desk.counter, "s1", 0)])
    assert await desk.left() == 70


async def test_what_comes_behind_the_end_of_a_window_is_charged_to_the_next() -> None:
    desk = Desk()
    editor = await desk.editor()
    await editor.feed(chunk("abcd") * 65)
    reserved = 100 - await desk.left()
    desk.clock.advance(3_600)
    await editor.feed(chunk("abcd") * 20)
    await editor.finish()
    assert await desk.left() == 100 - (65 + 20 - reserved)
    assert desk.told[0][3] == 85


async def test_budgets_that_cannot_be_asked_break_a_stream_off() -> None:
    desk = Desk()
    editor = await desk.editor()
    await editor.feed(chunk("abcd") * 3)
    desk.store.away = True
    with pytest.raises(StoreUnavailable):
        await editor.feed(chunk("abcd") * 100)
    await editor.close()
    assert desk.told == [("chat", "acme", 200, 3, "left")]


async def test_a_shadow_is_counted_and_cuts_nothing() -> None:
    desk = Desk(limit=replace(BUDGET, shadow=True))
    editor = await desk.editor()
    sent = chunk("abcd") * 300
    assert await editor.feed(sent) == sent
    assert not editor.ended
    assert len(desk.store.hits) < 10


async def test_without_a_budget_what_it_came_to_is_told_all_the_same() -> None:
    desk = Desk()
    response = Response(200, Headers((EVENTS,)))
    editor = await desk.policy.on_stream(response, Request("POST", "/chat"), Context("chat", None))
    assert editor is not None
    await editor.feed(chunk("abcd") * 300)
    await editor.finish()
    assert desk.told == [("chat", "", 200, 300, "estimated")]


async def test_a_record_that_is_too_long_to_be_held_is_counted_by_its_length_and_broken_off() -> None:
    desk = Desk()
    editor = await desk.editor()
    with pytest.raises(CouldNotDecide):
        await editor.feed(b"data: " + b"x" * (LONGEST_RECORD + 1))


@pytest.mark.parametrize("odd", [b": ping\n\n", b"data: [DONE]\n\n", b"id: 7\n\n", b"data: {}\n\n"])
async def test_what_has_no_text_costs_nothing(odd: bytes) -> None:
    desk = Desk()
    editor = await desk.editor()
    assert await editor.feed(odd) + await editor.finish() == odd
    assert await desk.left() == 100


@pytest.mark.parametrize(
    "odd", [b'data: {"a":1,"a":2}\n\n', b"data: 12345678\n\n", b"data: [1,[2]]\n\n", b"data: {\n\n"]
)
async def test_data_that_is_no_object_is_counted_by_its_length(odd: bytes) -> None:
    desk = Desk()
    editor = await desk.editor()
    assert await editor.feed(odd) + await editor.finish() == odd
    assert await desk.left() == 100 - -(-(len(odd) - 8) // 4)


async def test_lines_are_counted_and_cut_with_a_line() -> None:
    desk = Desk(Style.OLLAMA)
    editor = await desk.editor(("content-type", "application/x-ndjson"))
    made = await editor.feed(b'{"model":"m","response":"abcd"}\n' * 200)
    told = [json.loads(line) for line in made.splitlines()]
    assert (len(told), told[-1]["done"], told[-1]["eval_count"]) == (101, True, 100)
    assert made.endswith(b"\n")


WHOLE: list[tuple[bytes, int, str]] = [
    (b'{"usage":{"total_tokens":42}}', 42, "said"),
    (b'{"choices":[{"message":{"content":"12345678"}}]}', 12, "estimated"),
    (b"x" * 40, 20, "estimated"),
    (b"", 10, "estimated"),
    (b'{"usage":{"total_tokens":42},"rest":"' + b"x" * 4096 + b'"}', 10 + 1034, "estimated"),  # beyond the limit
]


@pytest.mark.parametrize(("body", "tokens", "ended"), WHOLE)
async def test_a_whole_answer_passes_as_it_comes_and_is_settled_at_its_end(
    body: bytes, tokens: int, ended: str
) -> None:
    desk = Desk(limit=replace(BUDGET, count=5_000))
    editor = await desk.editor(JSON, size=40)
    half = len(body) // 2
    assert [await editor.feed(body[:half]), await editor.feed(body[half:])] == [body[:half], body[half:]]
    assert await editor.finish() == b""
    await editor.close()
    assert desk.told == [("chat", "acme", 200, tokens, ended)]
    assert await desk.left() == 5_000 - tokens


async def test_of_a_whole_answer_what_has_passed_is_paid_when_its_client_goes() -> None:
    desk = Desk()
    editor = await desk.editor(JSON, size=40)
    await editor.feed(b"x" * 80)
    await editor.close()
    assert desk.told == [("chat", "acme", 200, 30, "left")]


@pytest.mark.parametrize("status", [301, 400, 429, 500, 503])
async def test_an_error_costs_nothing(status: int) -> None:
    desk = Desk()
    context = await desk.admit(60)
    response = Response(status, Headers((JSON,)))
    assert await desk.policy.on_response(response, Request("POST", "/"), context) is CONTINUE
    assert await desk.policy.on_stream(response, Request("POST", "/"), context) is None
    assert await desk.left() == 100


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/json", "application/problem+json"])
async def test_an_answer_in_a_coding_is_refused_because_nobody_could_count_it(media_type: str) -> None:
    desk = Desk()
    response = Response(200, Headers((("content-type", media_type), ("content-encoding", "gzip"))))
    decision = await desk.policy.on_response(response, Request("POST", "/"), await desk.admit(60))
    assert isinstance(decision, LocalReply)
    assert (decision.status, decision.reason) == (502, "unreadable_answer")
    assert await desk.left() == 100


@pytest.mark.parametrize("media_type", ["audio/mpeg", "text/html", ""])
async def test_of_any_other_answer_what_was_reserved_stays_charged(media_type: str) -> None:
    desk = Desk()
    context = await desk.admit(60)
    response = Response(200, Headers((("content-type", media_type), ("content-encoding", "gzip"))))
    assert await desk.policy.on_response(response, Request("POST", "/"), context) is CONTINUE
    assert await desk.policy.on_stream(response, Request("POST", "/"), context) is None
    assert (await desk.left(), desk.told) == (40, [])


async def test_a_request_reserves_what_it_lets_its_answer_have_and_what_it_is_itself() -> None:
    desk = Desk(reserve=("max_tokens",))
    context = await desk.admit(20)
    request = Request("POST", "/", body=b'{"max_tokens":50}')
    assert await desk.policy.on_forward(request, context) is CONTINUE
    assert await desk.left() == 100 - 55
    assert await desk.policy.on_forward(replace(request, body=b'{"max_tokens":5}'), context) is CONTINUE
    assert await desk.left() == 100 - 55
    assert desk.reservation is not None
    assert desk.reservation.covers(55)


async def test_a_request_for_more_than_is_left_is_refused_and_takes_nothing() -> None:
    desk = Desk(reserve=("max_tokens",))
    decision = await desk.policy.on_forward(Request("POST", "/", body=b'{"max_tokens":97}'), await desk.admit())
    assert isinstance(decision, LocalReply)
    assert (decision.status, decision.reason) == (429, "rate_limited")
    assert await desk.left() == 99


@pytest.mark.parametrize("body", [None, b"", b"{}", b"[]", b'{"max_tokens":"9"}'])
async def test_a_request_that_says_nothing_reserves_nothing_more(body: bytes | None) -> None:
    desk = Desk(reserve=("max_tokens",))
    assert await desk.policy.on_forward(Request("POST", "/", body=body), await desk.admit()) is CONTINUE
    assert await desk.left() == 99


@pytest.mark.parametrize("body", [b"{", b'{"max_tokens":1,"max_tokens":99}', b"\xff", b'{"max_tokens":NaN}'])
async def test_a_request_that_is_read_in_two_ways_is_refused(body: bytes) -> None:
    desk = Desk(reserve=("max_tokens",))
    decision = await desk.policy.on_forward(Request("POST", "/", body=body), await desk.admit())
    assert isinstance(decision, LocalReply)
    assert (decision.status, decision.reason) == (400, "unreadable_body")


async def test_streams_at_once_spend_one_budget_to_the_last_token() -> None:
    desk = Desk(limit=replace(BUDGET, count=500))
    meter: Any = desk.policy

    async def one(number: int) -> int:
        await desk.store.hit(Charge((Hit(desk.counter),), f"stream-{number}"))
        held = Reservation(f"stream-{number}", {desk.counter: 1}, until=2**40)
        response = Response(200, Headers((EVENTS,)))
        editor = await meter.on_stream(response, Request("POST", "/"), Context("chat", ACME, 4096, held))
        made = b""
        for _ in range(30):
            await asyncio.sleep(0)
            made += await editor.feed(chunk("abcd"))
            if editor.ended:
                return int(made.count(b"abcd"))
        await editor.finish()
        return int(made.count(b"abcd"))

    sent = await asyncio.gather(*(one(number) for number in range(50)))
    assert sum(sent) + await desk.left() == 500
    assert await desk.left() < 50


def test_a_request_is_shown_only_where_it_says_what_is_reserved() -> None:
    meter = Meter(Style.OPENAI, (), ())
    assert phases_of(MeterKind, meter) == {Phase.RESPONSE_STREAM}
    assert phases_of(MeterKind, replace(meter, reserve=(("a",),))) == {Phase.RESPONSE_STREAM, Phase.REQUEST_BODY}


async def test_whose_tokens_they_are_is_what_the_answer_says_where_it_names_the_version_that_was_chosen() -> None:
    chosen = Chosen("chat", "v1")
    for fields, answered in [
        ((), chosen),
        ((("x-model-version", "v2"),), chosen),
        ((("x-model-version", "v2"), ("x-model-fallback", "v1")), Chosen("chat", "v2")),
        ((("x-model-version", "v2"), ("x-model-fallback", "v3")), chosen),
    ]:
        desk = Desk()
        response = Response(200, Headers((EVENTS, *fields)))
        context = (await desk.admit())._replace(chosen=chosen)
        editor = await desk.policy.on_stream(response, Request("POST", "/chat"), context)
        assert editor is not None
        await editor.close()
        assert desk.chosen == answered
