"""What Envoy tells of the end of requests: slots come back, reservations are settled, anything else does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from extproc.core.errors import StoreUnavailable
from extproc.core.held import spell_held
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.names import DECIDED_HELD, DECISION_NAMESPACE
from extproc.services.access_log import SERVICE, AccessLog
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
