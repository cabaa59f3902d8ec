"""Evidence on its way to a store: nobody waits for it, little is lost, and nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from extproc.app.evidence import EVIDENCE_SAVED_AGAIN, EVIDENCE_UNSAVED, EvidenceKept
from extproc.core.ended import Ended
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence, Seen, Series, Sums, Told
from extproc.core.evidence_gathering import EvidenceGathering
from extproc.core.ports import EvidenceStore
from extproc.stores.evidence_memory import MemoryEvidence
from extproc.testing import FakeClock
from tests.stores.key_stores import FakeEvents

NOW = 1_790_000_000


@dataclass(slots=True)
class Flaky:
    """Hears everything, and says of the first `deaf` batches that it did not."""

    inner: MemoryEvidence
    deaf: int = 0
    names: list[str] = field(default_factory=list)

    async def add(self, sums: Sums, batch: str) -> None:
        self.names.append(batch)
        await asyncio.sleep(0)  # somebody else's turn, as with any server
        await self.inner.add(sums, batch)
        if len(self.names) <= self.deaf:
            raise StoreUnavailable("its answer was lost")

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        return await self.inner.of(model, since, until)

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        return await self.inner.series(model, since, until, step)


class Stuck(Flaky):
    async def add(self, sums: Sums, batch: str) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(seconds=float(NOW))


def kept(store: EvidenceStore, clock: FakeClock, events: FakeEvents | None = None, most: int = 100) -> EvidenceKept:
    return EvidenceKept(
        store, {"chat": {"v1", "v2"}}, clock, events or FakeEvents(), lambda *_: None, EvidenceGathering(most)
    )  # fmt: skip


def ended(second: int = NOW, version: str = "v1") -> Ended:
    return Ended("chat", version, second, 200, sent=0.0, last=0.1)


async def test_what_is_heard_is_there_for_whoever_reads_at_once(clock: FakeClock) -> None:
    evidence = kept(MemoryEvidence(clock), clock)
    evidence.ended(ended())
    assert (await evidence.of("chat", NOW, NOW + 1))["v1"].requests == 1
    evidence.ended(ended())
    assert (await evidence.lately("chat", 60)) == {}  # the second that runs is not over
    clock.advance(1)
    assert (await evidence.lately("chat", 60))["v1"].requests == 2
    series = await evidence.series("chat", NOW, NOW + 2, 1)
    assert [sum(one.requests for one in versions.values()) for _, versions in series] == [2, 0]


async def test_a_batch_whose_answer_was_lost_is_told_again_by_its_name_and_counts_once(clock: FakeClock) -> None:
    store, events = Flaky(MemoryEvidence(clock), deaf=3), FakeEvents()
    evidence = kept(store, clock, events)
    evidence.ended(ended())
    for _ in range(3):
        await evidence.save()
        evidence.ended(ended(NOW + 1))
    await evidence.save()
    assert len(set(store.names)) == 2
    assert (await evidence.of("chat", NOW, NOW + 2))["v1"].requests == 4
    assert [name for name, _ in events.told] == [EVIDENCE_UNSAVED, EVIDENCE_SAVED_AGAIN]


async def test_a_store_that_is_stuck_keeps_nobody_and_memory_is_bounded(clock: FakeClock) -> None:
    evidence = kept(Stuck(MemoryEvidence(clock)), clock, most=50)
    tending = asyncio.ensure_future(evidence.save())
    evidence.ended(ended())
    await asyncio.sleep(0)
    for number in range(100_000):
        evidence.ended(ended(NOW + number // 10))
    assert len(evidence._gathering) == 50
    assert evidence.lost >= 100_000 - 50 * 10
    tending.cancel()


async def test_two_that_save_at_once_tell_each_batch_once(clock: FakeClock) -> None:
    store = Flaky(MemoryEvidence(clock))
    evidence = kept(store, clock)
    evidence.ended(ended())
    await asyncio.gather(evidence.save(), evidence.save(), evidence.of("chat", NOW, NOW + 1))
    assert len(store.names) == 1


async def test_what_is_left_is_saved_at_the_end(clock: FakeClock) -> None:
    store = MemoryEvidence(clock)
    evidence = kept(store, clock)
    tending = asyncio.ensure_future(evidence.tend())
    await asyncio.sleep(0)
    evidence.ended(ended())
    tending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tending
    assert (await store.of("chat", NOW, NOW + 1))["v1"].requests == 1


async def test_after_a_fallback_both_versions_are_gathered_and_measured(clock: FakeClock) -> None:
    measured: list[tuple[str, str, bool]] = []
    store = MemoryEvidence(clock)
    evidence = EvidenceKept(
        store,
        {"chat": {"v1", "v2"}},
        clock,
        FakeEvents(),
        lambda model, version, one: measured.append((model, version, one.error)),
    )
    evidence.ended(ended()._replace(answered="v2", fallen_back="v1"))
    assert measured == [("chat", "v2", False), ("chat", "v1", True)]
    evidence.gather(Told("chat", "v2", NOW), Seen(0, score=0.5))
    found = await evidence.of("chat", NOW, NOW + 1)
    assert (found["v2"].requests, found["v2"].scores, found["v1"].errors) == (1, 1, 1)


async def test_a_name_that_the_plan_does_not_hold_is_nobodys(clock: FakeClock) -> None:
    evidence = kept(MemoryEvidence(clock), clock)
    for told in (Told("chat", "v1", NOW), Told("chat", "v9", NOW), Told("other", "v1", NOW)):
        evidence.told(told, Seen(0, tokens=7))
    assert {name: one.tokens for name, one in (await evidence.of("chat", NOW, NOW + 1)).items()} == {"v1": 7}
    assert await evidence.of("other", NOW, NOW + 1) == {}
