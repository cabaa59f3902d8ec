"""Answers that are metered as they pass, message by message: what is replied, and what is settled."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import grpc

from extproc.core.calendar import Calendar, Unit
from extproc.core.errors import StoreUnavailable
from extproc.core.gateway import Gateway
from extproc.core.held import spell_held
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.metering import STYLES, Meter, Style, parse_places
from extproc.core.policy import Policy
from extproc.core.ports import CounterStore
from extproc.core.processing import BodyMode, Processing, Side
from extproc.core.record import Result
from extproc.policies.meter import MeterKind
from extproc.services.ext_proc import ExtProc
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, FakeRecorder, fake_ports
from extproc.wire.process_pb2 import HttpTrailers, ProcessingRequest, ProcessingResponse
from tests.services.conftest import Serve
from tests.services.harness import NAME, PLAN, Rig, Stream, chain, gateway, settled
from tests.services.playbook import about, response_body, response_headers
from tests.services.test_ext_proc_sequences import AbortedError
from tests.services.test_ext_proc_sequences import Stream as Side_of_a_server

BUDGET = Limit("tokens", "route/chat", Per.CONSUMER, 20, 3_600, 20, Kind.BUDGET, Calendar(Unit.HOUR))
COUNTER = Counter(BUDGET, ("acme",))
EVENTS = ("content-type", "text/event-stream")
PASSING = Processing(response=Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True))
WHOLE_REQUESTS = replace(PASSING, request=Side(headers=True, body=BodyMode.BUFFERED, trailers=True))
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"abcd"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Shaky:
    """A store that may be away, or answer nobody, from some question on; and says when it was told of an end."""

    counters: MemoryCounters
    away: bool = False
    stalls: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        self.asked.set()
        if self.stalls:
            await asyncio.Event().wait()
        if self.away:
            raise StoreUnavailable("away")
        return await self.counters.hit(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.counters.settle(settlements)
        self.told.set()


def metering(store: CounterStore, clock: FakeClock, reserve: tuple[str, ...] = ()) -> Policy:
    words = STYLES[Style.OPENAI]
    meter = Meter(
        Style.OPENAI, tuple(map(parse_places, words.usage)), tuple(parse_places(one)[0] for one in words.text),
        reserve=tuple(parse_places(one)[0] for one in reserve),
    )  # fmt: skip
    return MeterKind.build(meter, fake_ports(clock=clock, counters=store))


def metered(store: CounterStore, clock: FakeClock, reserve: tuple[str, ...] = ()) -> Gateway:
    policy = metering(store, clock, reserve)
    judged = chain(response=[policy], stream=[policy], forward=[policy] if reserve else [])
    return gateway(judged, shown=WHOLE_REQUESTS if reserve else PASSING)


async def admitted(store: MemoryCounters, stream: str = "s1") -> str:
    """As ext_authz has left it with Envoy."""
    (state,) = await store.hit(Charge((Hit(COUNTER),), stream))
    assert state.allowed
    return spell_held([Settlement(COUNTER, stream, 1, until=2**40)])


def begun(held: str, **attributes: str) -> ProcessingRequest:
    decided = {"route": NAME, "revision": PLAN, "consumer": "acme", "held": held}
    return about(response_headers(EVENTS), decided=decided, **attributes)


async def left(store: MemoryCounters) -> int:
    (state,) = await store.hit(Charge((Hit(COUNTER, 0),)))
    return state.remaining


async def opened(serve: Serve, store: Shaky) -> tuple[Rig, Stream]:
    clock = FakeClock()
    rig = await serve(metered(store, clock))
    call = rig.process()
    await call.write(begun(await admitted(store.counters)))
    await call.read()
    return rig, call


async def read_pieces(call: Stream) -> bytes:
    """All that is sent on until the end."""
    told = b""
    while True:
        reply = await call.read()
        assert isinstance(reply, ProcessingResponse)
        piece = reply.response_body.response.body_mutation.streamed_response
        told += piece.body
        if piece.end_of_stream:
            return told


def shaky() -> Shaky:
    return Shaky(MemoryCounters(FakeClock()))


async def test_an_answer_is_settled_before_its_last_piece_is_sent(serve: Serve) -> None:
    store = shaky()
    _, call = await opened(serve, store)
    said = b'data: {"choices":[],"usage":{"total_tokens":7}}\n\n'
    await call.write(response_body(CHUNK, end=False))
    await call.write(response_body(said + DONE))
    assert await read_pieces(call) == CHUNK + said + DONE
    assert await left(store.counters) == 13
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


async def test_a_cut_ends_the_answer_and_what_was_on_its_way_gets_no_reply(serve: Serve) -> None:
    store = shaky()
    rig, call = await opened(serve, store)
    await call.write(response_body(CHUNK * 30, end=False))
    told = await read_pieces(call)
    assert told.count(b"abcd") == 20
    assert told.endswith(DONE)
    for body, end in ((CHUNK, False), (CHUNK, True), (b"", True)):
        await call.write(response_body(body, end=end))
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    record = rig.records[-1]
    assert (record.result, record.reason, record.status) == (Result.DENY, "tokens_used_up", 0)
    assert (record.consumer, record.facts["tokens"]) == ("acme", "20")


async def test_a_client_that_goes_away_is_settled_when_its_stream_is_gone(serve: Serve) -> None:
    """Row 33: by a task that outlives the call, and leaves nothing behind."""
    store = shaky()
    rig = await serve(metered(store, FakeClock()))
    before = len(asyncio.all_tasks())
    call = rig.process()
    await call.write(begun(await admitted(store.counters)))
    await call.read()
    await call.write(response_body(CHUNK * 5, end=False))
    await call.read()
    call.cancel()
    await asyncio.wait_for(store.told.wait(), 20)
    assert await left(store.counters) == 15
    await settled(before)


async def test_an_envoy_that_closes_its_side_in_the_middle_is_aborted_and_what_was_sent_is_settled(
    serve: Serve,
) -> None:
    """Row 34."""
    store = shaky()
    _, call = await opened(serve, store)
    await call.write(response_body(CHUNK * 5, end=False))
    await call.read()
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.INTERNAL
    await asyncio.wait_for(store.told.wait(), 20)
    assert await left(store.counters) == 15


async def test_a_budget_that_cannot_be_asked_breaks_the_answer_off(serve: Serve) -> None:
    """Row 34."""
    store = shaky()
    rig, call = await opened(serve, store)
    await call.write(response_body(CHUNK, end=False))
    await call.read()
    store.away = True
    await call.write(response_body(CHUNK * 5, end=False))
    assert await call.code() is grpc.StatusCode.INTERNAL
    assert (rig.records[-1].result, rig.records[-1].reason) == (Result.ERROR, "store_unavailable")
    await asyncio.wait_for(store.told.wait(), 20)
    assert await left(store.counters) == 19


async def test_a_budget_that_does_not_answer_is_waited_for_no_longer_than_envoy_waits(serve: Serve) -> None:
    """Row 37: Envoy's deadline is the call's end, and the one who waits is cancelled and recorded."""
    store, clock = shaky(), FakeClock()
    rig = await serve(metered(store, clock, reserve=("max_tokens",)))
    before = len(asyncio.all_tasks())
    call = rig.process()
    held = await admitted(store.counters)
    store.stalls = True
    first = ProcessingRequest()
    first.request_headers.SetInParent()
    await call.write(about(first, decided={"route": NAME, "revision": PLAN, "held": held}))
    await call.read()
    body = ProcessingRequest()
    body.request_body.body, body.request_body.end_of_stream = b'{"max_tokens":9}', True
    await call.write(body)
    await asyncio.wait_for(store.asked.wait(), 20)
    call.cancel()
    await settled(before)
    assert (rig.records[-1].result, rig.records[-1].detail) == (Result.ERROR, "the call was cancelled")


async def test_without_a_budget_nothing_is_cut(serve: Serve) -> None:
    store, clock = shaky(), FakeClock()
    rig = await serve(metered(store, clock))
    for held in ("", "[", "[[1]]", '[["s1","route/a","x","consumer","budget",""]]'):
        call = rig.process()
        await call.write(begun(held))
        await call.read()
        await call.write(response_body(CHUNK * 30))
        assert await read_pieces(call) == CHUNK * 30
        call.cancel()
    assert not store.asked.is_set()


KINDS = {
    "H": response_headers(EVENTS),
    "P": response_body(CHUNK * 15, end=False),
    "B": response_body(CHUNK),
    "T": ProcessingRequest(response_trailers=HttpTrailers()),
    "E": ProcessingRequest(),
}


async def test_every_sequence_of_five_messages_is_whole_cut_or_aborted() -> None:
    """Row 35: whatever comes in whatever order. Two of the long pieces are beyond the budget."""
    for length in range(1, 6):
        for kinds in itertools.product(KINDS, repeat=length):
            told = "".join(kinds)
            store = MemoryCounters(FakeClock())
            plan = metered(store, FakeClock())
            service = ExtProc(partial(lambda of: of, plan), FakeClock(), FakeRecorder())
            held = await admitted(store)
            sent, ends, code = await led(service, [KINDS[kind] for kind in kinds], held)
            body, _, rest = told.partition("H")
            ordered = not body and set(rest[:-1]) <= {"P"} and rest[-1:] in ("B", "T")
            cut = not body and rest.startswith("PP")
            assert ends <= 1, told
            assert sent.count(b"abcd") <= 20, told
            if code is grpc.StatusCode.OK:
                assert ordered or cut, told
            if ordered:
                assert code is grpc.StatusCode.OK, told
            if ordered and not cut:
                assert sent == b"".join(KINDS[kind].response_body.body for kind in kinds), told
                assert await left(store) == 20 - sent.count(b"abcd"), told


async def led(service: ExtProc, messages: Sequence[ProcessingRequest], held: str) -> tuple[bytes, int, grpc.StatusCode]:
    """What was sent on, how often its end was said, and how the stream ended."""

    async def sending() -> AsyncIterator[ProcessingRequest]:
        for index, message in enumerate(messages):
            decided = {"route": NAME, "revision": PLAN, "held": held}
            yield message if index else about(message, decided=decided)

    call, sent, ends = Side_of_a_server(), b"", 0
    before = len(asyncio.all_tasks())
    with suppress(AbortedError):
        async for reply in service.process(sending(), call):  # type: ignore[arg-type]
            piece = reply.response_body.response.body_mutation.streamed_response
            sent += piece.body
            ends += piece.end_of_stream + reply.HasField("response_trailers")
    await settled(before)  # what is done when nobody waits any more
    return sent, ends, call.code


async def test_a_thousand_answers_in_pieces_of_every_length_lose_nothing_and_charge_exactly() -> None:
    """Row 36: one end, and each byte once."""
    chance = random.Random(5)  # noqa: S311 - the same ones each time
    for _ in range(1_000):
        chunks = chance.randrange(40)
        wire = CHUNK * chunks + DONE
        places = sorted(chance.randrange(len(wire) + 1) for _ in range(chance.randrange(12)))
        pieces = [wire[start:end] for start, end in itertools.pairwise([0, *places, len(wire)])]
        store = MemoryCounters(FakeClock())
        plan = metered(store, FakeClock())
        service = ExtProc(partial(lambda of: of, plan), FakeClock(), FakeRecorder())
        messages = [KINDS["H"], *(response_body(piece, end=False) for piece in pieces), response_body(b"")]
        sent, ends, code = await led(service, messages, await admitted(store))
        assert (ends, code) == (1, grpc.StatusCode.OK)
        assert sent == wire if chunks <= 20 else sent.startswith(CHUNK * 20)
        assert (sent.endswith(DONE), sent.count(b"abcd")) == (True, min(20, chunks))
        assert await left(store) == 20 - min(20, chunks)
