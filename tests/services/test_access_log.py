"""What Envoy tells of the end of requests: slots come back, reservations are settled, anything else does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from extproc.core.calendar import Calendar, Unit
from extproc.core.errors import StoreUnavailable
from extproc.core.held import spell_held
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.names import DECIDED_HELD, DECISION_NAMESPACE, USAGE_LOG
from extproc.core.usage import Usage, Used
from extproc.services.access_log import SERVICE, AccessLog
from extproc.services.ended_requests import Watched
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock
from extproc.wire.accesslog_pb2 import HTTPAccessLogEntry, StreamAccessLogsMessage

SLOTS = Limit("open", "tier/free", Per.CONSUMER, 1, 3_600, 1, Kind.CONCURRENCY)
COUNTER = Counter(SLOTS, ("acme",))


@dataclass(slots=True)
class Away:
    """A store that can be asked from the second time on."""

    counters: MemoryCounters
    asked: list[Sequence[Settlement]] = field(default_factory=list)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        return await self.counters.hit(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self.asked.append(settlements)
        if len(self.asked) == 1:
            raise StoreUnavailable("not yet")
        await self.counters.settle(settlements)


def entry(text: str, **headers: str) -> HTTPAccessLogEntry:
    told = HTTPAccessLogEntry()
    told.common_properties.metadata.filter_metadata[DECISION_NAMESPACE].fields[DECIDED_HELD].string_value = text
    told.response.response_headers.update(headers)
    return told


async def stream(log: AccessLog, *entries: HTTPAccessLogEntry) -> None:
    async def messages() -> AsyncIterator[StreamAccessLogsMessage]:
        for one in entries:
            message = StreamAccessLogsMessage()
            message.http_logs.log_entry.append(one)
            yield StreamAccessLogsMessage.FromString(message.SerializeToString())

    await log.stream(messages(), None)  # type: ignore[arg-type]


async def taken(store: MemoryCounters | Away, stream: str) -> bool:
    return all(state.allowed for state in await store.hit(Charge((Hit(COUNTER),), stream)))


async def test_a_slot_comes_back_when_its_request_has_ended() -> None:
    store = MemoryCounters(FakeClock())
    assert [await taken(store, "s1"), await taken(store, "s2")] == [True, False]
    await stream(AccessLog(store), entry(spell_held([Settlement(COUNTER, "s1")])))
    assert await taken(store, "s3")


@pytest.mark.parametrize("text", ["", "[", "[[1]]", spell_held([Settlement(COUNTER, "of somebody else")])])
async def test_anything_else_frees_nothing_and_ends_nothing(text: str) -> None:
    store = MemoryCounters(FakeClock())
    assert await taken(store, "s1")
    ended = spell_held([Settlement(COUNTER, "s1")])
    await stream(AccessLog(store), entry(text), HTTPAccessLogEntry())
    assert not await taken(store, "s2")
    await stream(AccessLog(store), entry(text), entry(ended))
    assert await taken(store, "s3")


async def test_a_store_that_cannot_be_asked_ends_no_stream() -> None:
    store = Away(MemoryCounters(FakeClock()))
    assert await taken(store, "s1")
    ended = entry(spell_held([Settlement(COUNTER, "s1")]))
    await stream(AccessLog(store), ended, ended)
    assert await taken(store, "s2")


def test_it_is_the_service_that_envoy_calls() -> None:
    assert SERVICE == "envoy.service.accesslog.v3.AccessLogService"


def ended_request(status: int, **texts: str) -> HTTPAccessLogEntry:
    told = HTTPAccessLogEntry()
    common = told.common_properties
    common.start_time.seconds = 1_790_000_000
    common.route_name = "orders"
    common.downstream_wire_bytes_received, common.downstream_wire_bytes_sent = 300, 4_000
    told.response.response_code.value = status
    for name, text in texts.items():
        common.metadata.filter_metadata[DECISION_NAMESPACE].fields[name].string_value = text
    return told


async def tallied(*entries: HTTPAccessLogEntry, log: str = USAGE_LOG) -> list[tuple[Used, Usage]]:
    """Of a stream whose first message says which log it is."""
    sums: list[tuple[Used, Usage]] = []

    async def messages() -> AsyncIterator[StreamAccessLogsMessage]:
        first = StreamAccessLogsMessage()
        first.identifier.log_name = log
        for message, entry in zip((first, *[StreamAccessLogsMessage() for _ in entries]), entries, strict=False):
            message.http_logs.log_entry.append(entry)
            yield message

    watched = Watched({"chat": frozenset({"v1", "v2"})}, settles=frozenset({"x-tokens"}))
    count = lambda used, usage: sums.append((used, usage))  # noqa: E731 - a list is the sum
    service = AccessLog(MemoryCounters(FakeClock()), count, watched=watched)
    await service.stream(messages(), None)  # type: ignore[arg-type]
    return sums


async def test_each_request_of_the_usage_stream_is_counted() -> None:
    settled = ended_request(200, consumer="acme", tier="free")
    settled.response.response_headers.update({"x-tokens": "12", "x-other": "13"})
    hour = 1_790_000_000 - 1_790_000_000 % 3_600
    assert await tallied(settled, ended_request(403, anonymous="anonymous"), ended_request(0)) == [
        (Used(hour, "acme", "free", "orders", "2xx"), Usage(1, 300, 4_000, 12)),
        (Used(hour, "anonymous", "", "orders", "4xx"), Usage(1, 300, 4_000, 0)),
        (Used(hour, "", "", "orders", "none"), Usage(1, 300, 4_000, 0)),
    ]


async def test_what_holds_something_is_not_counted_again_by_the_other_stream() -> None:
    assert await tallied(ended_request(200, consumer="acme"), log="extproc") == []


async def test_what_a_version_answered_is_counted_for_it() -> None:
    chosen, fallen_back = [ended_request(200, consumer="acme", model="chat", version="v1") for _ in range(2)]
    fallen_back.response.response_headers.update({"x-model-version": "v2", "x-model-fallback": "v1"})
    unknown = ended_request(200, consumer="acme", model="chat", version="v9")
    told = await tallied(chosen, fallen_back, unknown)
    assert [(used.model, used.version) for used, _ in told] == [("chat", "v1"), ("chat", "v2"), ("", "")]


BUDGET = Limit("tokens", "route/a", Per.CONSUMER, 100, 3_600, 100, Kind.BUDGET, Calendar(Unit.HOUR), settle="x-tokens")
METERED = Settlement(Counter(BUDGET, ("acme",)), "s1", 60, until=2**40)


@pytest.mark.parametrize(("answered", "left"), [(True, 40), (False, 100)])
async def test_what_is_metered_comes_back_only_where_no_upstream_has_begun_to_answer(answered: bool, left: int) -> None:
    """Whatever header there is: who has read the answer settles it."""
    store = MemoryCounters(FakeClock())
    await store.hit(Charge((Hit(METERED.counter, 60),), "s1"))
    told = entry(spell_held([METERED]), **{"x-tokens": "7"})
    if answered:
        told.common_properties.time_to_first_upstream_rx_byte.nanos = 1
    await stream(AccessLog(store), told)
    (state,) = await store.hit(Charge((Hit(METERED.counter, 0),)))
    assert state.remaining == left


async def test_tokens_of_a_metered_answer_are_not_counted_from_its_headers() -> None:
    told = ended_request(200, consumer="acme", held=spell_held([METERED]))
    told.response.response_headers["x-tokens"] = "12"
    ((_, usage),) = await tallied(told)
    assert usage == Usage(1, 300, 4_000, 0)
